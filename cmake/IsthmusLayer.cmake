# isthmus_add_layer(<name> [MODULE]): the target isthmus_<name> from native/<name>/**.
#
# A layer sees only itself and the layers it links: the include path of each is a directory of the build
# tree that holds one link, to that layer's sources. Including "crossing/x.hpp" from core does not compile.
function(isthmus_stage_layer name out)
    set(stage "${PROJECT_BINARY_DIR}/layers/${name}")
    file(MAKE_DIRECTORY "${stage}")
    if(NOT EXISTS "${stage}/${name}")
        file(CREATE_LINK "${PROJECT_SOURCE_DIR}/native/${name}" "${stage}/${name}" SYMBOLIC)
    endif()
    set(${out} "${stage}" PARENT_SCOPE)
endfunction()

function(isthmus_layer_sources name out)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/native/${name}/*.cpp")
    set(${out} "${sources}" PARENT_SCOPE)
endfunction()

function(isthmus_add_layer name)
    isthmus_layer_sources(${name} sources)
    isthmus_stage_layer(${name} stage)
    if(NOT sources)
        # A layer may still be headers only; a static library needs one source.
        set(empty "${PROJECT_BINARY_DIR}/layers/${name}.cpp")
        file(CONFIGURE OUTPUT "${empty}" CONTENT "")
        set(sources "${empty}")
    endif()
    add_library(isthmus_${name} STATIC ${sources})
    target_include_directories(isthmus_${name} PUBLIC "${stage}" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries(isthmus_${name} PUBLIC isthmus_options)
endfunction()

# isthmus_add_layer(<name> [<layer it uses>...]): the static library isthmus_<name> from native/<name>/**, and
# isthmus_<name>_headers, all that compiling against it needs.
#
# A layer sees only itself and the layers it links: the include path of each is a directory of the build
# tree that holds one link, to that layer's sources. Including "crossing/x.hpp" from core does not compile.
# Layers do not link each other: the shared libraries say which of them they hold (isthmus_add_library).
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
    add_library(isthmus_${name}_headers INTERFACE)
    target_include_directories(isthmus_${name}_headers INTERFACE "${stage}" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries(isthmus_${name}_headers INTERFACE isthmus_options)
    foreach(used IN LISTS ARGN)
        target_link_libraries(isthmus_${name}_headers INTERFACE isthmus_${used}_headers)
    endforeach()
    add_library(isthmus_${name} STATIC ${sources})
    target_link_libraries(isthmus_${name} PUBLIC isthmus_${name}_headers)
endfunction()

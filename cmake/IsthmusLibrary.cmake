# isthmus_add_library(<target> <file name> <layers>...): a shared library that holds these layers whole.
#
# File name and soname are one and carry the exact version, since wheels hold no symbolic links and a host and
# the Python module in one process must have the very same runtime: the dynamic linker loads one soname once.
set(isthmus_shared_linking
    # Linked beside its place and then renamed: whoever loads it meanwhile sees the old file or the new one,
    # whole, and a process that runs the old one keeps its pages.
    "-o <TARGET>" "-o <TARGET>.new")

macro(isthmus_link_beside rule)
    string(REPLACE ${isthmus_shared_linking} ${rule} "${${rule}}")
    list(APPEND ${rule} "<CMAKE_COMMAND> -E rename <TARGET>.new <TARGET>")
endmacro()
isthmus_link_beside(CMAKE_CXX_CREATE_SHARED_LIBRARY)
isthmus_link_beside(CMAKE_CXX_CREATE_SHARED_MODULE)

function(isthmus_add_library target name)
    set(empty "${PROJECT_BINARY_DIR}/layers/${target}.cpp")
    file(CONFIGURE OUTPUT "${empty}" CONTENT "")
    add_library(${target} SHARED "${empty}")
    set_target_properties(
        ${target}
        PROPERTIES OUTPUT_NAME "${name}-${PROJECT_VERSION}"
                   BUILD_WITH_INSTALL_RPATH ON
                   INSTALL_RPATH "$ORIGIN"
                   UNITY_BUILD OFF)
    set(exports "${PROJECT_SOURCE_DIR}/cmake/exports.map")
    target_link_options(${target} PRIVATE "-Wl,--version-script=${exports}" -Wl,-Bsymbolic-functions)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${exports}")
    target_link_libraries(${target} PRIVATE isthmus_options Threads::Threads)
    foreach(layer IN LISTS ARGN)
        target_link_libraries(${target} PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,isthmus_${layer}>")
    endforeach()
    if(ISTHMUS_PACKAGE_DIR)
        set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${ISTHMUS_PACKAGE_DIR}/lib")
    endif()
endfunction()

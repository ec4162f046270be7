# What a C++ host needs: headers, libraries, isthmusConfig.cmake, pkg-config files. Under the prefix, and in a
# wheel under site-packages/isthmus, with the same layout (`python -m isthmus --cmakedir` says where).
#
# The Python package comes along: a wheel is one; `cmake --install` puts it where a Python of this prefix looks,
# and isthmus::runtime looks there too.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(isthmus_python_tag "python${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}")
if(DEFINED SKBUILD)
    set(isthmus_lib isthmus/lib)
    set(isthmus_include isthmus/include)
    set(isthmus_package isthmus)
else()
    set(isthmus_lib "${CMAKE_INSTALL_LIBDIR}")
    set(isthmus_include "${CMAKE_INSTALL_INCLUDEDIR}")
    set(isthmus_package "${CMAKE_INSTALL_LIBDIR}/${isthmus_python_tag}/site-packages/isthmus")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/src/isthmus/" DESTINATION "${isthmus_package}" COMPONENT python
            PATTERN "*.so" EXCLUDE PATTERN lib EXCLUDE PATTERN __pycache__ EXCLUDE PATTERN ".*" EXCLUDE)
endif()
set(isthmus_cmake "${isthmus_lib}/cmake/isthmus")

install(TARGETS _isthmus LIBRARY DESTINATION "${isthmus_package}" COMPONENT python)
install(TARGETS isthmus_core_library isthmus_python_library LIBRARY DESTINATION "${isthmus_lib}" COMPONENT python)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/isthmus" DESTINATION "${isthmus_include}" COMPONENT python)

set(isthmus_prefix "${PROJECT_BINARY_DIR}/prefix")
if(NOT DEFINED SKBUILD)
    set(ISTHMUS_HINTED_PYTHON "${Python_EXECUTABLE}")
endif()
get_target_property(isthmus_core_file isthmus_core_library OUTPUT_NAME)
get_target_property(isthmus_python_file isthmus_python_library OUTPUT_NAME)
foreach(file IN ITEMS isthmus_core_file isthmus_python_file)
    set(${file} "lib${${file}}.so")
endforeach()
file(RELATIVE_PATH isthmus_include_from_lib "/${isthmus_lib}" "/${isthmus_include}")
configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/package/isthmusConfig.cmake.in" "${isthmus_prefix}/isthmusConfig.cmake"
    INSTALL_DESTINATION "${isthmus_cmake}"
    PATH_VARS isthmus_lib isthmus_include
    NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# What is found is of this very version: find_package's own rule is about what a project asks for.
write_basic_package_version_file("${isthmus_prefix}/isthmusConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
foreach(package IN ITEMS isthmus-core isthmus-python)
    configure_file("${PROJECT_SOURCE_DIR}/cmake/package/${package}.pc.in" "${isthmus_prefix}/${package}.pc" @ONLY)
    install(FILES "${isthmus_prefix}/${package}.pc" DESTINATION "${isthmus_lib}/pkgconfig" COMPONENT python)
endforeach()
install(FILES "${isthmus_prefix}/isthmusConfig.cmake" "${isthmus_prefix}/isthmusConfigVersion.cmake"
        DESTINATION "${isthmus_cmake}" COMPONENT python)

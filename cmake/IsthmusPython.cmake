# The layers that know CPython, the library isthmus::python, and the extension module isthmus._isthmus.
find_package(Python 3.13 REQUIRED COMPONENTS Interpreter Development.Module)

execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import sys, sysconfig; print(sys.implementation.name, sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    OUTPUT_VARIABLE isthmus_python_kind
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT isthmus_python_kind STREQUAL "cpython 0")
    message(
        FATAL_ERROR
            "isthmus needs stock CPython with a per-interpreter GIL; ${Python_EXECUTABLE} "
            "(${Python_VERSION}) is '${isthmus_python_kind}'. Free-threaded builds (python3.13t, --disable-gil) "
            "lay objects out differently and are not supported: use the ordinary build of the same version.")
endif()

isthmus_add_layer(cpython cxx)
target_link_libraries(isthmus_cpython_headers INTERFACE Python::Module)
isthmus_add_layer(crossing cpython)
isthmus_add_layer(module crossing)
isthmus_add_layer(host module)
target_compile_definitions(isthmus_host PRIVATE "ISTHMUS_VERSION=\"${PROJECT_VERSION}\"")
target_compile_definitions(isthmus_module PRIVATE "ISTHMUS_VERSION=\"${PROJECT_VERSION}\"")

isthmus_add_library(isthmus_core_library isthmus_core core cxx)
isthmus_add_library(isthmus_python_library "isthmus_python${Python_VERSION_MAJOR}${Python_VERSION_MINOR}" cpython
                    crossing module host)
target_link_libraries(isthmus_python_library PRIVATE isthmus_core_library)

# Only its entry: the same code runs in a process whose host linked the library, and there is one runtime.
isthmus_stage_layer(extension isthmus_extension_stage)
python_add_library(_isthmus MODULE WITH_SOABI "${PROJECT_SOURCE_DIR}/native/extension/extension.cpp")
target_link_libraries(_isthmus PRIVATE isthmus_module_headers isthmus_python_library)
# Beside it in a checkout and a wheel; under a prefix in the directory of libraries.
set_target_properties(_isthmus PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/lib;$ORIGIN/../../.."
                                          UNITY_BUILD OFF)
if(ISTHMUS_PACKAGE_DIR)
    set_target_properties(_isthmus PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${ISTHMUS_PACKAGE_DIR}")
endif()

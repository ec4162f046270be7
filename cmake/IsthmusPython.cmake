# The layers that know CPython, and the extension module isthmus._isthmus.
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

isthmus_add_layer(cpython)
target_link_libraries(isthmus_cpython PUBLIC isthmus_core Python::Module)

isthmus_add_layer(crossing)
target_link_libraries(isthmus_crossing PUBLIC isthmus_cpython)

isthmus_layer_sources(module isthmus_module_sources)
isthmus_stage_layer(module isthmus_module_stage)
# Linked beside its place and then renamed: whoever imports the package meanwhile sees the old file or the new
# one, whole, and a process that runs the old one keeps its pages.
string(REPLACE "-o <TARGET>" "-o <TARGET>.new" CMAKE_CXX_CREATE_SHARED_MODULE "${CMAKE_CXX_CREATE_SHARED_MODULE}")
list(APPEND CMAKE_CXX_CREATE_SHARED_MODULE "<CMAKE_COMMAND> -E rename <TARGET>.new <TARGET>")
python_add_library(_isthmus MODULE WITH_SOABI ${isthmus_module_sources})
target_include_directories(_isthmus PRIVATE "${isthmus_module_stage}")
target_compile_definitions(_isthmus PRIVATE "ISTHMUS_VERSION=\"${PROJECT_VERSION}\"")
target_link_libraries(_isthmus PRIVATE isthmus_crossing)
if(ISTHMUS_PACKAGE_DIR)
    set_target_properties(_isthmus PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${ISTHMUS_PACKAGE_DIR}")
endif()

install(TARGETS _isthmus LIBRARY DESTINATION isthmus COMPONENT python)

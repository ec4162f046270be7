# The fuzzers of tests/fuzz, inside the library of the extension: they then need no CPython to link with, only one to run in.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "ISTHMUS_BUILD_FUZZ needs clang++, for libFuzzer")
endif()
execute_process(
    COMMAND "${CMAKE_CXX_COMPILER}" "-print-file-name=libclang_rt.fuzzer_no_main-${CMAKE_SYSTEM_PROCESSOR}.a"
    OUTPUT_VARIABLE isthmus_libfuzzer
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(NOT IS_ABSOLUTE "${isthmus_libfuzzer}")
    message(FATAL_ERROR "${CMAKE_CXX_COMPILER} has no libFuzzer (Debian: libclang-rt-14-dev)")
endif()

target_compile_options(isthmus_options INTERFACE -fsanitize=fuzzer-no-link)
target_sources(isthmus_python_library PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/harness.cpp")
set_source_files_properties("${PROJECT_SOURCE_DIR}/tests/fuzz/harness.cpp" PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# The sanitizers' library is loaded before and has weak functions that do nothing with coverage: ours go first.
target_link_options(isthmus_python_library PRIVATE -shared-libasan -Wl,-Bsymbolic
                    "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports-fuzz.map")
target_link_libraries(isthmus_python_library PRIVATE "${isthmus_libfuzzer}")

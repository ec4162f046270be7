# C++ benchmarks, in bench/ of the build tree. A build without them is not an error.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")

file(GLOB isthmus_bench_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/core/*.cpp")
if(isthmus_bench_sources)
    find_package(benchmark REQUIRED)
    add_executable(isthmus_core_bench ${isthmus_bench_sources})
    target_link_libraries(isthmus_core_bench PRIVATE isthmus_core benchmark::benchmark_main)
endif()

if(EXISTS "${PROJECT_SOURCE_DIR}/bench/futex_pingpong.cpp")
    add_executable(futex_pingpong "${PROJECT_SOURCE_DIR}/bench/futex_pingpong.cpp")
    target_link_libraries(futex_pingpong PRIVATE isthmus_options Threads::Threads)
endif()

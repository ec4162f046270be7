# The core's GoogleTest suite: no Python in it, so that sanitizers see all of the process.
find_package(GTest REQUIRED)
include(GoogleTest)

file(GLOB isthmus_test_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/core/*_test.cpp")
# Replaces operator new for its whole program: one of its own.
set(isthmus_fault_sources "${PROJECT_SOURCE_DIR}/tests/core/faults.cpp"
                          "${PROJECT_SOURCE_DIR}/tests/core/faults_test.cpp"
                          "${PROJECT_SOURCE_DIR}/tests/core/faults_inspector_test.cpp"
                          "${PROJECT_SOURCE_DIR}/tests/core/faults_later_test.cpp"
                          "${PROJECT_SOURCE_DIR}/tests/cxx/faults_bytes_test.cpp")
list(REMOVE_ITEM isthmus_test_sources ${isthmus_fault_sources})
if(NOT isthmus_test_sources)
    message(FATAL_ERROR "ISTHMUS_BUILD_TESTS is on, but there is no tests/core/*_test.cpp")
endif()
add_executable(isthmus_core_tests ${isthmus_test_sources})
target_include_directories(isthmus_core_tests PRIVATE "${PROJECT_SOURCE_DIR}/tests")
target_link_libraries(isthmus_core_tests PRIVATE isthmus_core GTest::gtest_main)
set_target_properties(isthmus_core_tests PROPERTIES ENABLE_EXPORTS ON) # names for backtrace_symbols_fd
# Those of the C++ interface, in tests/cxx.
file(GLOB isthmus_cxx_test_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/cxx/*_test.cpp")
list(REMOVE_ITEM isthmus_cxx_test_sources ${isthmus_fault_sources})
add_executable(isthmus_cxx_tests ${isthmus_cxx_test_sources})
target_include_directories(isthmus_cxx_tests PRIVATE "${PROJECT_SOURCE_DIR}/tests")
target_link_libraries(isthmus_cxx_tests PRIVATE isthmus_cxx isthmus_core GTest::gtest_main)
if(ISTHMUS_SANITIZE MATCHES "address")
    foreach(program isthmus_core_tests isthmus_cxx_tests)
        target_sources(${program} PRIVATE "${PROJECT_SOURCE_DIR}/tests/core/asan_at_fork.cpp")
    endforeach()
endif()
add_executable(isthmus_fault_tests ${isthmus_fault_sources})
target_include_directories(isthmus_fault_tests PRIVATE "${PROJECT_SOURCE_DIR}/tests")
target_link_libraries(isthmus_fault_tests PRIVATE isthmus_cxx isthmus_core GTest::gtest_main)
set_target_properties(isthmus_fault_tests PROPERTIES UNITY_BUILD OFF)
# The system calls that faults.cpp can make fail.
foreach(call mmap mremap madvise memfd_create ftruncate fcntl eventfd pthread_create socket bind listen renameat)
    target_link_options(isthmus_fault_tests PRIVATE -Wl,--wrap=${call})
endforeach()
# Headers are most of what there is to compile: a few large batches.
set_target_properties(isthmus_core_tests isthmus_cxx_tests PROPERTIES UNITY_BUILD_BATCH_SIZE 10)
# At test time, not at build time: a sanitized binary may need an environment that only ctest's caller sets.
foreach(program isthmus_core_tests isthmus_cxx_tests isthmus_fault_tests)
    gtest_discover_tests(${program} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 240)
endforeach()

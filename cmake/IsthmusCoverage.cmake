# Counts are written when a process exits; who leaves by _exit writes them first (tests/coverage/counts.cpp).
set(isthmus_counts "${PROJECT_SOURCE_DIR}/tests/coverage/counts.cpp")
set_source_files_properties("${isthmus_counts}" PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
foreach(target isthmus_core_library isthmus_python_library isthmus_core_tests isthmus_cxx_tests
        isthmus_fault_tests)
    target_sources(${target} PRIVATE "${isthmus_counts}")
    target_link_options(${target} PRIVATE -Wl,--wrap=_exit -Wl,--wrap=_Exit)
endforeach()

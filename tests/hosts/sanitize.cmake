# CMAKE_PROJECT_INCLUDE of every project of hosts that is tested under a sanitizer, HOSTS_SANITIZE: the project itself
# knows nothing of it.
add_compile_options(-fsanitize=${HOSTS_SANITIZE} -fno-omit-frame-pointer -g)
add_link_options(-fsanitize=${HOSTS_SANITIZE})
if(HOSTS_SANITIZE STREQUAL "thread")
    # It does not know fences, of which g++ warns; nor does g++ know what its own instrumentation initialises.
    add_compile_options(-Wno-tsan -Wno-maybe-uninitialized)
endif()

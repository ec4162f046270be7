# What every target of the project is compiled with: the interface target isthmus_options.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Symbols stay in release builds, so that a user's core dump can be read.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g -D_GLIBCXX_ASSERTIONS")
# What users run, but every line an instruction of its own. Threads count at the same time.
set(CMAKE_CXX_FLAGS_COVERAGE "-O0 -g -DNDEBUG --coverage -fprofile-update=atomic")

add_library(isthmus_options INTERFACE)
target_compile_options(isthmus_options INTERFACE -fno-plt -Wall -Wextra -Wconversion -Wshadow)
if(ISTHMUS_WERROR)
    target_compile_options(isthmus_options INTERFACE -Werror)
endif()

if(CMAKE_UNITY_BUILD)
    # What one file names for itself the next ones may use as they like; builds file by file check each alone.
    target_compile_options(isthmus_options INTERFACE -Wno-shadow)
endif()

if(ISTHMUS_SANITIZE)
    if(NOT ISTHMUS_SANITIZE MATCHES "^(address|undefined|address,undefined|thread)$")
        message(FATAL_ERROR "ISTHMUS_SANITIZE=${ISTHMUS_SANITIZE}: use address,undefined or thread")
    endif()
    target_compile_options(
        isthmus_options INTERFACE -fsanitize=${ISTHMUS_SANITIZE} -fno-sanitize-recover=all
                                  -fno-omit-frame-pointer)
    target_link_options(isthmus_options INTERFACE -fsanitize=${ISTHMUS_SANITIZE})
    if(ISTHMUS_SANITIZE STREQUAL "thread")
        # g++ warns that TSan does not model fences; whoever uses one must say why it is sound without.
        target_compile_options(isthmus_options INTERFACE -Wno-tsan)
    endif()
elseif(ISTHMUS_IPO AND CMAKE_BUILD_TYPE STREQUAL "Release")
    include(CheckIPOSupported)
    check_ipo_supported(RESULT isthmus_has_ipo OUTPUT isthmus_ipo_output LANGUAGES CXX)
    if(isthmus_has_ipo)
        set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
    else()
        message(STATUS "isthmus: no link-time optimisation: ${isthmus_ipo_output}")
    endif()
endif()

/// What the tests of hosts share. Each test runs in a process of its own.
#pragma once

#include <isthmus/python.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace hosts {

/// That runs the tests.
[[nodiscard]] inline std::string program() {
    const char* const given = std::getenv("ISTHMUS_TEST_PROGRAM");
    return given != nullptr ? given : "";
}

/// CPython as the command that runs the tests finds it.
[[nodiscard]] inline isthmus::runtime start() {
    return isthmus::runtime::start({.program = program()});
}

/// A gauge or counter of isthmus.stats().
[[nodiscard]] inline long long stat(const std::string& name) {
    return isthmus::interpreter::main().eval("__import__('isthmus').stats()." + name).as<long long>();
}

} // namespace hosts

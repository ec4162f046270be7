/// What the tests of hosts share. Each test runs in a process of its own.
#pragma once

#include <isthmus/python.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace hosts {

/// CPython as the command that runs the tests finds it.
[[nodiscard]] inline isthmus::runtime start() {
    const char* const program = std::getenv("ISTHMUS_TEST_PROGRAM");
    return isthmus::runtime::start({.program = program != nullptr ? program : ""});
}

/// A gauge or counter of isthmus.stats().
[[nodiscard]] inline long long stat(const std::string& name) {
    return isthmus::interpreter::main().eval("__import__('isthmus').stats()." + name).as<long long>();
}

} // namespace hosts

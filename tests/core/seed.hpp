#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace isthmus::core::test {

/// Of ISTHMUS_TEST_SEED, or by chance, the same for all of a run; printed, so that a failure can be run
/// again.
inline std::uint64_t test_seed() {
    static const std::uint64_t chosen = [] {
        const char* const given = std::getenv("ISTHMUS_TEST_SEED");
        return given != nullptr ? std::strtoull(given, nullptr, 0) : std::uint64_t{std::random_device{}()};
    }();
    std::printf("ISTHMUS_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
}

} // namespace isthmus::core::test

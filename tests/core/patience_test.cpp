#include "core/patience.hpp"

#include <ctime>
#include <gtest/gtest.h>

namespace isthmus::core {
namespace {

constexpr futex::nanoseconds ms = 1'000'000;

void stand_still(futex::nanoseconds span) {
    const timespec time = {0, static_cast<long>(span)};
    nanosleep(&time, nullptr);
}

TEST(patience, passes_while_somebody_waits) {
    patience p(250 * ms);
    const futex::nanoseconds start = futex::now();
    int looks = 0;
    EXPECT_FALSE(p.outlasts([&](futex::nanoseconds until) {
        ++looks;
        stand_still(until - futex::now());
        return false;
    }));
    EXPECT_GE(futex::now() - start, 250 * ms);
    EXPECT_EQ(looks, 3);
    EXPECT_TRUE(p.is_over());
}

TEST(patience, does_not_pass_while_nobody_runs) {
    patience p(250 * ms);
    stand_still(600 * ms);
    EXPECT_FALSE(p.is_over());
    stand_still(600 * ms);
    EXPECT_FALSE(p.is_over());
    stand_still(600 * ms);
    EXPECT_TRUE(p.is_over());
}

TEST(patience, ends_with_what_is_waited_for) {
    patience p(250 * ms);
    int looks = 0;
    EXPECT_TRUE(p.outlasts([&](futex::nanoseconds) { return ++looks == 2; }));
    EXPECT_FALSE(p.is_over());
}

} // namespace
} // namespace isthmus::core

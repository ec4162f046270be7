/// What tests of the C++ interface share: a balance that every test must leave as it found it.
#pragma once

#include "core/channel.hpp"
#include "core/cycles.hpp"
#include "core/queue.hpp"
#include "core/stats.hpp"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>

namespace isthmus::test {

class balanced : public testing::Test {
  protected:
    void SetUp() override { before_ = now(); }
    void TearDown() override { EXPECT_EQ(now(), before_) << "shares, channels, queues that are left"; }

  private:
    using counts = std::array<std::uint64_t, 3>;
    static counts now() {
        core::collect_cycles();
        using enum core::counter;
        return {core::statistics::read(shares_taken) - core::statistics::read(shares_dropped),
                core::channel::all().size(), core::queue::all().size()};
    }
    counts before_{};
};

} // namespace isthmus::test

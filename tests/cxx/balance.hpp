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
    void TearDown() override {
        EXPECT_EQ(now(), before_) << "shares, views, shared buffers, channels, queues that are left";
    }

  private:
    using counts = std::array<std::uint64_t, 5>;
    static counts now() {
        core::collect_cycles();
        using enum core::counter;
        using core::statistics;
        return {statistics::read(shares_taken) - statistics::read(shares_dropped),
                statistics::read(views_made) - statistics::read(views_ended),
                statistics::read(buffers_made) - statistics::read(buffers_freed), core::channel::all().size(),
                core::queue::all().size()};
    }
    counts before_{};
};

} // namespace isthmus::test

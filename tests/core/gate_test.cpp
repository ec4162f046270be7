/// Entering against closing (hazard H7).

#include "core/gate.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

TEST(gate, lets_in_until_it_is_shut) {
    gate g;
    EXPECT_FALSE(g.is_shut());
    EXPECT_TRUE(g.enter());
    EXPECT_TRUE(g.enter());
    g.shut();
    EXPECT_TRUE(g.is_shut());
    EXPECT_FALSE(g.enter());
    g.leave();
    EXPECT_FALSE(g.enter());
    g.leave();
    g.wait_until_empty();
    EXPECT_FALSE(g.enter());
    g.reopen();
    EXPECT_TRUE(g.enter());
    g.leave();
}

TEST(gate, the_closer_waits_for_who_is_inside) {
    for (int round = 0; round < 200; ++round) {
        gate g;
        ASSERT_TRUE(g.enter());
        g.shut();
        int left = 0; // not atomic on purpose: leaving happens before the wait ends
        std::thread inside([&] {
            left = 1;
            g.leave();
        });
        g.wait_until_empty();
        EXPECT_EQ(left, 1);
        inside.join();
    }
}

TEST(gate, nobody_is_inside_once_the_wait_is_over) {
    constexpr int rounds = 300;
    gate g;
    std::atomic<int> inside{0};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> entries{0};
    // What an entry may use and the closer then destroys.
    int interpreter = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            while (!stop.load(std::memory_order_relaxed)) {
                if (!g.enter()) {
                    std::this_thread::yield();
                    continue;
                }
                ++inside;
                EXPECT_GE(interpreter, 0) << "entered while it was closed";
                ++entries;
                --inside;
                g.leave();
            }
        });
    }
    for (int round = 0; round < rounds; ++round) {
        const std::uint64_t before = entries.load();
        while (entries.load() == before) {
            std::this_thread::yield();
        }
        g.shut();
        g.wait_until_empty();
        interpreter = -1;
        EXPECT_EQ(inside.load(), 0);
        const std::uint64_t shut = entries.load();
        std::this_thread::yield();
        EXPECT_EQ(entries.load(), shut);
        interpreter = round;
        // An entry that is refused counts itself for a moment; reopen() wants the gate empty.
        stop.store(round == rounds - 1);
        if (stop.load()) {
            break;
        }
        g.wait_until_empty();
        g.reopen();
    }
    for (std::thread& t : threads) {
        t.join();
    }
}

} // namespace
} // namespace isthmus::core::test

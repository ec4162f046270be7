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
}

TEST(gate, the_closer_waits_for_who_is_inside) {
    for (int round = 0; round < 200; ++round) {
        gate g;
        std::atomic<bool> shut{false};
        std::atomic<bool> entered{false};
        int left = 0; // not atomic on purpose: leaving happens before the wait ends
        std::thread inside([&] {
            ASSERT_TRUE(g.enter());
            entered.store(true);
            entered.notify_one();
            shut.wait(false);
            left = 1;
            g.leave();
        });
        entered.wait(false);
        g.shut();
        shut.store(true);
        shut.notify_one();
        g.wait_until_empty();
        EXPECT_EQ(left, 1);
        inside.join();
    }
}

TEST(gate, the_closer_may_lose_patience) {
    gate g;
    EXPECT_FALSE(g.anybody_inside());
    ASSERT_TRUE(g.enter());
    g.shut();
    EXPECT_TRUE(g.anybody_inside());
    EXPECT_FALSE(g.wait_until_empty(futex::now() + 1'000'000));
    g.leave();
    EXPECT_TRUE(g.wait_until_empty(futex::now()));
    EXPECT_FALSE(g.anybody_inside());
}

TEST(gate, in_a_child_only_who_forked_is_inside) {
    gate outer;
    gate inner;
    gate others;
    ASSERT_TRUE(outer.enter());
    ASSERT_TRUE(inner.enter());
    std::thread([&] { ASSERT_TRUE(others.enter()); }).join();
    EXPECT_EQ(outer.forget_other_threads(), 0U);
    EXPECT_EQ(inner.forget_other_threads(), 0U);
    EXPECT_EQ(others.forget_other_threads(), 1U);
    EXPECT_TRUE(outer.anybody_inside());
    EXPECT_TRUE(inner.anybody_inside());
    EXPECT_FALSE(others.anybody_inside());
    inner.leave();
    EXPECT_EQ(outer.forget_other_threads(), 0U);
    EXPECT_TRUE(outer.anybody_inside());
    outer.leave();
    EXPECT_FALSE(outer.anybody_inside());
}

/// One interpreter's life: what an entry may use, and its closer then destroys.
struct life {
    gate entry;
    int interpreter = 0; ///< -1: gone. Not atomic on purpose, the gate is what guards it
    std::atomic<std::uint64_t> entries{0};
};

TEST(gate, nobody_is_inside_once_the_wait_is_over) {
    std::vector<life> lives(150);
    std::atomic<std::size_t> current{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            for (std::size_t now = 0; now < lives.size(); now = current.load(std::memory_order_acquire)) {
                life& l = lives[now];
                if (!l.entry.enter()) {
                    std::this_thread::yield();
                    continue;
                }
                EXPECT_EQ(l.interpreter, 0) << "inside although it is gone";
                l.entries.fetch_add(1, std::memory_order_relaxed);
                EXPECT_EQ(l.interpreter, 0);
                l.entry.leave();
            }
        });
    }
    for (life& l : lives) {
        while (l.entries.load(std::memory_order_relaxed) == 0) {
            std::this_thread::yield();
        }
        l.entry.shut();
        l.entry.wait_until_empty();
        l.interpreter = -1;
        const std::uint64_t entries = l.entries.load();
        EXPECT_FALSE(l.entry.enter());
        current.fetch_add(1, std::memory_order_release);
        EXPECT_EQ(l.entries.load(), entries);
    }
    for (std::thread& t : threads) {
        t.join();
    }
}

} // namespace
} // namespace isthmus::core::test

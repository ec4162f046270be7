/// Inboxes of C++ threads: order, waking, closing, calls that throw, that post, that end the inbox.

#include <isthmus/inbox.hpp>

#include <array>
#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace isthmus::test {
namespace {

using namespace std::chrono_literals;

TEST(inboxes, calls_are_run_in_order_by_drain_alone) {
    inbox box;
    std::vector<int> run;
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(box.post([&run, i] { run.push_back(i); }));
    }
    EXPECT_TRUE(run.empty());
    EXPECT_TRUE(box.wait(0ns));
    EXPECT_EQ(box.drain(), 3U);
    EXPECT_EQ(run, (std::vector{0, 1, 2}));
    EXPECT_EQ(box.drain(), 0U);
    EXPECT_FALSE(box.wait(0ns));
    EXPECT_FALSE(box.wait(2ms));
}

TEST(inboxes, what_is_posted_by_a_call_waits_for_the_next_drain) {
    inbox box;
    int depth = 0;
    box.post([&] {
        ++depth;
        box.post([&] { ++depth; });
    });
    EXPECT_EQ(box.drain(), 1U);
    EXPECT_EQ(depth, 1);
    EXPECT_EQ(box.drain(), 1U);
    EXPECT_EQ(depth, 2);
}

TEST(inboxes, a_call_that_throws_leaves_the_others_for_the_next_drain) {
    inbox box;
    std::vector<int> run;
    box.post([&] { run.push_back(1); });
    box.post([] { throw std::runtime_error("bad"); });
    box.post([&] { run.push_back(2); });
    EXPECT_THROW(box.drain(), std::runtime_error);
    box.post([&] { run.push_back(3); });
    EXPECT_TRUE(box.wait(0ns));
    EXPECT_EQ(box.drain(), 2U);
    EXPECT_EQ(run, (std::vector{1, 2, 3}));
}

TEST(inboxes, move_with_what_waits) {
    std::vector<int> run;
    const auto dropped = std::make_shared<int>(0);
    inbox first;
    first.post([&] { run.push_back(1); });
    inbox second(std::move(first));
    second.post([&] { run.push_back(2); });
    inbox third;
    third.post([dropped] { FAIL(); });
    third = std::move(second);
    EXPECT_EQ(dropped.use_count(), 1);
    EXPECT_EQ(third.drain(), 2U);
    EXPECT_EQ(run, (std::vector{1, 2}));
    first = inbox();
    EXPECT_TRUE(first.post([] {}));
    EXPECT_EQ(first.drain(), 1U);
}

TEST(inboxes, a_call_may_drain) {
    inbox box;
    std::vector<int> run;
    box.post([&] { EXPECT_EQ(box.drain(), 2U); });
    box.post([&] { run.push_back(1); });
    box.post([&] { run.push_back(2); });
    EXPECT_EQ(box.drain(), 1U);
    EXPECT_EQ(run, (std::vector{1, 2}));
}

TEST(inboxes, a_closed_one_refuses_posts_and_keeps_what_waits) {
    inbox box;
    int run = 0;
    box.post([&] { ++run; });
    box.close();
    box.close();
    EXPECT_TRUE(box.is_closed());
    EXPECT_FALSE(box.post([&] { ++run; }));
    EXPECT_TRUE(box.wait());
    EXPECT_EQ(box.drain(), 1U);
    EXPECT_EQ(run, 1);
    EXPECT_TRUE(box.wait());
}

TEST(inboxes, what_waits_at_the_end_is_destroyed_and_not_run) {
    const auto counted = std::make_shared<int>(0);
    {
        inbox box;
        box.post([counted] { ++*counted; });
        box.post([counted] { throw std::runtime_error("bad"); });
        box.post([counted] { ++*counted; });
        EXPECT_EQ(counted.use_count(), 4);
    }
    EXPECT_EQ(counted.use_count(), 1);
    EXPECT_EQ(*counted, 0);
}

TEST(inboxes, a_post_and_a_close_wake_the_owner) {
    inbox box;
    std::atomic<int> run{0};
    std::thread owner([&] {
        while (run == 0) {
            EXPECT_TRUE(box.wait(60s));
            box.drain();
        }
        while (!box.is_closed()) {
            EXPECT_TRUE(box.wait(60s));
        }
    });
    box.post([&] { ++run; });
    while (run == 0) {
        std::this_thread::yield();
    }
    box.close();
    owner.join();
}

TEST(inboxes, many_posters_keep_their_order_and_lose_nothing) {
    constexpr std::size_t posters = 4;
    constexpr int each = 5'000;
    inbox box;
    std::array<int, posters> last;
    last.fill(-1);
    std::vector<std::thread> all;
    for (std::size_t who = 0; who < posters; ++who) {
        all.emplace_back([&, who] {
            for (int i = 0; i < each; ++i) {
                EXPECT_TRUE(box.post([&last, who, i] {
                    EXPECT_EQ(last.at(who), i - 1);
                    last.at(who) = i;
                }));
            }
        });
    }
    std::size_t run = 0;
    while (run < posters * each) {
        EXPECT_TRUE(box.wait(60s));
        run += box.drain();
    }
    for (std::thread& one : all) {
        one.join();
    }
    EXPECT_EQ(box.drain(), 0U);
    EXPECT_EQ(last, (std::array{each - 1, each - 1, each - 1, each - 1}));
}

/// The poster may still be in post() when its call ends the inbox.
TEST(inboxes, a_call_may_end_the_inbox) {
    for (int i = 0; i < 500; ++i) {
        auto box = std::make_unique<inbox>();
        std::thread poster([&box] { box->post([&box] { box.reset(); }); });
        while (box != nullptr) {
            static_cast<void>(box->wait(60s));
            box->drain();
        }
        poster.join();
    }
}

TEST(inboxes, closing_and_draining_at_once_lose_nothing) {
    for (int i = 0; i < 300; ++i) {
        inbox box;
        std::atomic<int> run{0};
        std::atomic<int> posted{0};
        std::thread poster([&] {
            while (box.post([&] { ++run; })) {
                ++posted;
            }
        });
        while (posted < 5) {
            std::this_thread::yield();
        }
        std::thread closer([&] { box.close(); });
        while (!box.is_closed()) {
            box.drain();
        }
        closer.join();
        poster.join();
        box.drain();
        EXPECT_EQ(run, posted);
    }
}

} // namespace
} // namespace isthmus::test

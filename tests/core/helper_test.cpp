/// The service thread: runs what was notified, coalesces, stops, starts again (design section 6).

#include "core/helper.hpp"
#include "core/inbox.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <gtest/gtest.h>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <time.h>
#include <vector>

namespace isthmus::core::test {
namespace {

/// Work that counts its runs, and can be made to wait inside.
struct counted_work {
    std::atomic<int> runs{0};
    std::atomic<bool> held{false};
    std::atomic<bool> go_on{true};

    static bool run(void* self) {
        auto& work = *static_cast<counted_work*>(self);
        work.runs.fetch_add(1);
        work.runs.notify_all();
        work.held.wait(true);
        return work.go_on.load();
    }
    void wait_for(int n) {
        for (int seen = runs.load(); seen < n; seen = runs.load()) {
            runs.wait(seen);
        }
    }
    void let_go() {
        held.store(false);
        held.notify_all();
    }
};

TEST(helper, runs_what_was_notified_and_nothing_else) {
    helper service;
    counted_work work;
    EXPECT_FALSE(service.running());
    ASSERT_TRUE(service.start(&counted_work::run, &work));
    EXPECT_TRUE(service.running());
    service.notify();
    work.wait_for(1);
    service.notify();
    work.wait_for(2);
    service.stop();
    EXPECT_FALSE(service.running());
    EXPECT_EQ(work.runs.load(), 2);
}

TEST(helper, says_when_no_thread_could_be_made_and_starts_later) {
    helper service;
    counted_work work;
    pthread_attr_t usual;
    pthread_attr_t huge;
    ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
    ASSERT_EQ(pthread_attr_init(&huge), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&huge, std::size_t{1} << 47), 0); // more than there are addresses
    ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
    const auto found = service.ensure(&counted_work::run, &work);
    ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
    pthread_attr_destroy(&usual);
    pthread_attr_destroy(&huge);
    EXPECT_EQ(found, helper::presence::impossible);
    EXPECT_FALSE(service.running());
    service.notify();
    ASSERT_TRUE(service.start(&counted_work::run, &work));
    work.wait_for(1);
    service.stop();
}

TEST(helper, notified_before_it_started_it_runs_all_the_same) {
    helper service;
    counted_work work;
    service.notify();
    ASSERT_TRUE(service.start(&counted_work::run, &work));
    work.wait_for(1);
    service.stop();
}

TEST(helper, notifications_during_one_run_make_one_more) {
    helper service;
    counted_work work;
    work.held.store(true);
    ASSERT_TRUE(service.start(&counted_work::run, &work));
    service.notify();
    work.wait_for(1);
    for (int n = 0; n < 1'000; ++n) {
        service.notify();
    }
    work.let_go();
    work.wait_for(2);
    // A third run would need a notification after the second began.
    service.notify();
    work.wait_for(3);
    service.stop();
    EXPECT_EQ(work.runs.load(), 3);
}

TEST(helper, stop_ends_the_thread_before_it_returns) {
    for (int round = 0; round < 100; ++round) {
        helper service;
        counted_work work;
        ASSERT_TRUE(service.start(&counted_work::run, &work));
        if (round % 2 == 0) {
            service.notify(); // it may be asleep, in its grace, or at work
        }
        service.stop();
        const int runs = work.runs.load();
        EXPECT_LE(runs, 1);
        service.notify();
        EXPECT_EQ(work.runs.load(), runs);
        EXPECT_FALSE(service.running());
    }
}

TEST(helper, starts_again_after_a_stop) {
    helper service;
    counted_work work;
    for (int round = 0; round < 5; ++round) {
        counted_work another;
        ASSERT_TRUE(service.start(&counted_work::run, round % 2 == 0 ? &work : &another));
        ASSERT_TRUE(service.start(&counted_work::run, nullptr)) << "runs already: nothing changes";
        counted_work& chosen = round % 2 == 0 ? work : another;
        const int before = chosen.runs.load();
        service.notify();
        chosen.wait_for(before + 1);
        service.stop();
        service.stop();
    }
}

TEST(helper, work_that_may_not_enter_ends_it) {
    helper service;
    counted_work work;
    work.go_on.store(false);
    ASSERT_TRUE(service.start(&counted_work::run, &work));
    service.notify();
    work.wait_for(1);
    service.notify();
    service.stop();
    EXPECT_EQ(work.runs.load(), 1);
}

TEST(helper, work_that_leaves_makes_room_for_another_thread) {
    struct state {
        helper service;
        std::atomic<int> runs{0};
    } s;
    const auto run_once = [](void* self) {
        auto& mine = *static_cast<state*>(self);
        EXPECT_TRUE(mine.service.working());
        EXPECT_TRUE(mine.service.leave());
        mine.runs.fetch_add(1);
        mine.runs.notify_all();
        return false;
    };
    for (int n = 0; n < 20; ++n) {
        ASSERT_TRUE(s.service.start(run_once, &s));
        s.service.notify();
        s.runs.wait(n);
        EXPECT_FALSE(s.service.running());
    }
    s.service.stop();
    EXPECT_EQ(s.runs.load(), 20);
    EXPECT_FALSE(s.service.working());
}

TEST(helper, leaves_signals_to_the_program) {
    struct mask {
        std::atomic<bool> seen{false};
        sigset_t blocked{};
    } in_thread;
    helper service;
    const auto look = [](void* context) {
        auto& m = *static_cast<mask*>(context);
        pthread_sigmask(SIG_SETMASK, nullptr, &m.blocked);
        m.seen.store(true);
        m.seen.notify_all();
        return true;
    };
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    ASSERT_TRUE(service.start(look, &in_thread));
    service.notify();
    in_thread.seen.wait(false);
    service.stop();
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGALRM}) {
        EXPECT_EQ(sigismember(&in_thread.blocked, signal), 1);
        EXPECT_EQ(sigismember(&after, signal), sigismember(&before, signal));
    }
}

TEST(helper, no_post_is_left_behind) {
    constexpr std::size_t posters = 3;
    constexpr std::size_t each = 5'000;
    struct served {
        inbox box;
        std::atomic<std::size_t> count{0};
    } state;
    const auto empty_the_box = [](void* context) {
        auto& s = *static_cast<served*>(context);
        std::size_t found = 0;
        for (inbox_node* node = s.box.drain(); node != nullptr; ++found) {
            node = node->next_posted.load(std::memory_order_relaxed);
        }
        s.count.fetch_add(found);
        s.count.notify_all();
        return true;
    };
    helper service;
    ASSERT_TRUE(service.start(empty_the_box, &state));
    std::vector<std::vector<inbox_node>> nodes;
    for (std::size_t p = 0; p < posters; ++p) {
        nodes.emplace_back(each);
    }
    std::vector<std::thread> threads;
    for (auto& own : nodes) {
        threads.emplace_back([&] {
            for (inbox_node& node : own) {
                if (state.box.post(node) == inbox::posted::first) {
                    service.notify();
                }
                std::this_thread::yield();
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    // A notification that was lost leaves this waiting for ever: the test's time limit tells.
    for (std::size_t seen = state.count.load(); seen < posters * each; seen = state.count.load()) {
        state.count.wait(seen);
    }
    service.stop();
    EXPECT_EQ(state.count.load(), posters * each);
}

constexpr auto never_in_vain = [] { return false; };

TEST(helper, hears_in_its_work_what_must_not_wait) {
    struct state {
        helper service;
        std::atomic<int> runs{0};
        std::vector<bool> heard; ///< by the work
        bool hurried = false;
    } s;
    const auto work = [](void* self) {
        auto& mine = *static_cast<state*>(self);
        if (mine.runs.load() == 0) {
            mine.hurried = mine.service.hurried();
            mine.service.notify_at_once();
            mine.heard.push_back(mine.service.told_again_soon(never_in_vain));
            mine.heard.push_back(mine.service.told_again_soon(never_in_vain)); // once is once
            mine.service.notify();
            mine.heard.push_back(mine.service.told_again_soon(never_in_vain)); // may wait, is not forgotten
        } else {
            mine.hurried = mine.service.hurried();
        }
        mine.runs.fetch_add(1);
        mine.runs.notify_all();
        return true;
    };
    ASSERT_TRUE(s.service.start(work, &s));
    s.service.notify_at_once();
    s.runs.wait(0);
    s.runs.wait(1);
    s.service.stop();
    EXPECT_EQ(s.heard, (std::vector{true, false, false}));
    EXPECT_EQ(s.runs.load(), 2);
    EXPECT_FALSE(s.hurried) << "the second run was for what may wait";
}

TEST(helper, is_stopped_while_it_listens) {
    struct state {
        helper service;
        std::atomic<int> heard{0};
    };
    for (int round = 0; round < 200; ++round) {
        state s;
        const auto work = [](void* self) {
            auto& mine = *static_cast<state*>(self);
            do {
                mine.heard.fetch_add(1);
                mine.heard.notify_all();
            } while (mine.service.told_again_soon(never_in_vain));
            return true;
        };
        ASSERT_TRUE(s.service.start(work, &s));
        s.service.notify_at_once();
        s.heard.wait(0);
        if (round % 2 == 0) {
            s.service.notify_at_once();
        }
        s.service.stop(); // hangs, if the one that listens takes the request to stop for a call
        EXPECT_FALSE(s.service.running());
    }
}

TEST(helper, uses_no_processor_while_nothing_comes) {
    struct state {
        helper service;
        std::atomic<int> runs{0};
        std::atomic<clockid_t> clock{};
    } s;
    const auto work = [](void* self) {
        auto& mine = *static_cast<state*>(self);
        clockid_t clock{};
        pthread_getcpuclockid(pthread_self(), &clock);
        mine.clock.store(clock);
        while (mine.service.told_again_soon(never_in_vain)) {
        }
        mine.runs.fetch_add(1);
        mine.runs.notify_all();
        return true;
    };
    ASSERT_TRUE(s.service.start(work, &s));
    s.service.notify_at_once();
    s.runs.wait(0);
    const auto used = [&] {
        timespec t{};
        clock_gettime(s.clock.load(), &t);
        return static_cast<futex::nanoseconds>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
    };
    const futex::nanoseconds before = used();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_LT(used() - before, 2'000'000);
    s.service.stop();
}

/// As an interpreter that is alone: each post makes sure of a thread, which leaves once nothing is left.
TEST(helper, no_post_meets_one_that_has_just_left) {
    struct served {
        helper service;
        std::mutex gil;
        std::atomic<std::uint32_t> posted{0};
        std::atomic<std::uint32_t> run{0};
        static bool work(void* context) {
            auto& s = *static_cast<served*>(context);
            const std::lock_guard held(s.gil);
            const std::uint32_t seen = s.posted.load();
            s.run.store(seen);
            s.run.notify_all();
            if (seen != s.posted.load()) {
                return true;
            }
            std::this_thread::yield(); // posts that come now are the ones that it must not leave behind
            return !s.service.leave();
        }
    } state;
    constexpr std::uint32_t rounds = 3'000;
    constexpr std::uint32_t posters = 3;
    std::barrier together(posters);
    std::vector<std::thread> threads;
    for (std::uint32_t p = 0; p < posters; ++p) {
        threads.emplace_back([&] {
            for (std::uint32_t round = 1; round <= rounds; ++round) {
                together.arrive_and_wait();
                EXPECT_NE(state.service.ensure(&served::work, &state), helper::presence::impossible);
                state.posted.fetch_add(1);
                state.service.notify_at_once();
                EXPECT_NE(state.service.ensure(&served::work, &state), helper::presence::impossible);
                // A post that was lost leaves this waiting for ever: the test's time limit tells.
                for (std::uint32_t n = state.run.load(); n < round * posters; n = state.run.load()) {
                    state.run.wait(n);
                }
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    state.service.stop();
    EXPECT_EQ(state.run.load(), rounds * posters);
}

} // namespace
} // namespace isthmus::core::test

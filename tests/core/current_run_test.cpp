/// Requests to a run: they reach the run they are aimed at or none (R1), none is forgotten (R2), and no wait
/// sleeps through one (W3).

#include "channel_fixture.hpp"

#include "core/current_run.hpp"
#include "core/helper.hpp"

#include <mutex>
#include <vector>

namespace isthmus::core::test {
namespace {

using source = current_run::source;

constexpr int one_class = 0;
constexpr int other_class = 0;

TEST(current_run, only_an_open_run_is_asked) {
    current_run runs;
    EXPECT_FALSE(runs.ask(&one_class));
    runs.begin(7);
    EXPECT_FALSE(runs.ask(&one_class));
    const current_run::number mine = current_run::next();
    EXPECT_FALSE(runs.ask_from_keyboard(mine));
    runs.open(mine);
    EXPECT_TRUE(runs.is_open_on(7));
    EXPECT_FALSE(runs.is_open_on(8));
    EXPECT_FALSE(runs.asked());
    EXPECT_TRUE(runs.ask(&one_class));
    EXPECT_FALSE(runs.ask_from_keyboard(mine + 1));
    EXPECT_TRUE(runs.asked());
    current_run::request taken;
    EXPECT_TRUE(runs.take(taken));
    EXPECT_TRUE(runs.asked()); // it is not delivered yet
    EXPECT_TRUE(runs.ask(&one_class));
    static_cast<void>(runs.close(false));
    EXPECT_FALSE(runs.asked());
    EXPECT_FALSE(runs.is_open_on(7));
    runs.end();
    EXPECT_FALSE(runs.take(taken));
}

TEST(current_run, the_last_of_many_requests_is_taken_and_then_the_keyboards) {
    current_run runs;
    runs.begin(7);
    const current_run::number mine = current_run::next();
    runs.open(mine);
    EXPECT_TRUE(runs.ask(&one_class));
    EXPECT_TRUE(runs.ask_from_keyboard(mine));
    EXPECT_TRUE(runs.ask(&other_class));
    current_run::request taken;
    ASSERT_TRUE(runs.take(taken));
    EXPECT_EQ(taken.what, &other_class);
    EXPECT_EQ(taken.from, source::caller);
    runs.delivered(taken.from);
    EXPECT_TRUE(runs.asked());
    ASSERT_TRUE(runs.take(taken));
    EXPECT_EQ(taken.from, source::keyboard);
    runs.delivered(taken.from);
    EXPECT_TRUE(runs.asked()); // it is delivered for certain once the courier asks for more
    EXPECT_FALSE(runs.take(taken));
    EXPECT_FALSE(runs.asked());
    EXPECT_EQ(runs.deliveries().load(), 2U);
}

TEST(current_run, its_end_tells_what_became_of_the_keyboards_requests) {
    current_run runs;
    current_run::request taken;
    runs.begin(7);
    const auto once = [&](bool take_it, bool pending) {
        const current_run::number mine = current_run::next();
        runs.open(mine);
        EXPECT_TRUE(runs.ask_from_keyboard(mine));
        if (take_it && runs.take(taken)) {
            runs.delivered(taken.from);
        }
        return runs.close(pending);
    };
    const current_run::ending raised = once(true, false);
    EXPECT_TRUE(raised.raised && !raised.left);
    const current_run::ending too_late = once(true, true);
    EXPECT_TRUE(!too_late.raised && too_late.left);
    const current_run::ending not_taken = once(false, false);
    EXPECT_TRUE(!not_taken.raised && not_taken.left);
    runs.open(current_run::next());
    const current_run::ending none = runs.close(true); // somebody else's exception
    EXPECT_FALSE(none.raised || none.left);
}

TEST(current_run, a_run_does_not_close_by_itself_while_it_is_asked) {
    current_run runs;
    current_run::request taken;
    runs.begin(7);
    const current_run::number mine = current_run::next();
    runs.open(mine);
    EXPECT_TRUE(runs.ask(&one_class));
    EXPECT_FALSE(runs.close_unless_asked());
    ASSERT_TRUE(runs.take(taken));
    runs.delivered(taken.from);
    EXPECT_TRUE(runs.ask_from_keyboard(mine));
    EXPECT_FALSE(runs.close_unless_asked());
    EXPECT_TRUE(runs.is_open_on(7));
    ASSERT_TRUE(runs.take(taken));
    runs.delivered(taken.from);
    const auto how = runs.close_unless_asked();
    ASSERT_TRUE(how);
    EXPECT_TRUE(how->raised && !how->left);
    EXPECT_FALSE(runs.is_open_on(7));
    EXPECT_FALSE(runs.ask(&one_class));
}

TEST(current_run, at_exit_a_run_that_is_not_open_is_reached_too) {
    current_run runs;
    current_run::request taken;
    runs.ask_at_exit(&one_class);
    EXPECT_FALSE(runs.take(taken));
    runs.begin(7);
    runs.ask_at_exit(&one_class);
    ASSERT_TRUE(runs.take(taken));
    EXPECT_EQ(taken.from, source::exit);
}

TEST(current_run, in_a_forked_child_nothing_is_asked) {
    current_run runs;
    runs.begin(7);
    runs.open(current_run::next());
    EXPECT_TRUE(runs.ask(&one_class));
    runs.forget_other_threads(7);
    EXPECT_FALSE(runs.asked());
    EXPECT_TRUE(runs.is_open_on(7));
    runs.forget_other_threads(8);
    EXPECT_EQ(runs.thread(), 0UL);
    EXPECT_FALSE(runs.ask(&one_class));
}

/// An interpreter as far as runs see it: a GIL, and an exception set for the next bytecode.
struct interpreter_model {
    std::mutex gil;
    current_run runs;
    const void* exception = nullptr; ///< under the GIL
    std::shared_ptr<party> side = party::create();
    helper courier;

    static bool carry(void* self) {
        auto& in = *static_cast<interpreter_model*>(self);
        const std::lock_guard held(in.gil);
        current_run::request asked;
        while (in.runs.take(asked)) {
            in.exception = asked.what;
            in.runs.delivered(asked.from);
            in.side->interrupt(in.runs.deliveries());
        }
        return true;
    }
};

TEST(current_run, requests_of_many_threads_reach_the_run_they_were_aimed_at) {
    interpreter_model in;
    ASSERT_TRUE(in.courier.start(&interpreter_model::carry, &in, 0));
    constexpr std::size_t names = 4'096;
    std::vector<char> classes(names); // each run has one of its own, which the askers name
    std::mutex aiming;
    std::size_t current = 0;
    std::atomic<bool> over{false};
    std::vector<std::thread> askers;
    for (int t = 0; t < 4; ++t) {
        askers.emplace_back([&] {
            while (!over) {
                std::unique_lock aim(aiming);
                const bool asked = in.runs.ask(&classes[current]);
                aim.unlock();
                if (asked) {
                    in.courier.notify();
                }
                std::this_thread::yield();
            }
        });
    }
    int reached = 0;
    for (std::size_t n = 0; reached < 500; ++n) {
        const std::size_t i = n % names;
        {
            const std::scoped_lock held(in.gil, aiming);
            current = i;
            in.runs.begin(7);
            in.runs.open(current_run::next());
        }
        for (int bytecode = 0; bytecode < 3; ++bytecode) {
            std::this_thread::yield();
            const std::lock_guard held(in.gil);
            if (in.exception != nullptr) {
                ++reached;
                EXPECT_EQ(in.exception, &classes[i]);
                in.exception = nullptr;
            }
        }
        const std::lock_guard held(in.gil);
        static_cast<void>(in.runs.close(in.exception != nullptr));
        in.exception = nullptr;
        in.runs.end();
    }
    over = true;
    for (std::thread& each : askers) {
        each.join();
    }
    in.courier.stop();
    EXPECT_FALSE(in.runs.asked());
}

TEST(current_run, no_wait_sleeps_through_an_interruption) {
    interpreter_model in;
    spin_budget spin;
    waiter never_aimed_at;
    std::thread bystander([&] {
        wait_site site;
        spin_budget own;
        // Without a limit: it lasts as long as the test.
        EXPECT_EQ(never_aimed_at.wait(*in.side, std::nullopt, site, own), outcome::ok);
    });
    in.runs.begin(7);
    constexpr std::uint32_t rounds = 20'000;
    std::atomic<std::uint32_t> waits{0}; // the round whose wait begins
    std::thread asker([&] {
        for (std::uint32_t round = 1; round <= rounds; ++round) {
            while (waits.load() < round) {
                std::this_thread::yield();
            }
            for (std::atomic<std::uint32_t> spent{0}; spent < round % 64 * 64;
                 ++spent) { // at all stages of it
            }
            EXPECT_TRUE(in.runs.ask(&one_class));
            EXPECT_TRUE(interpreter_model::carry(&in)); // a courier's, but at that very moment
        }
    });
    for (std::uint32_t round = 1; round <= rounds; ++round) {
        wait_site site;
        {
            const std::lock_guard held(in.gil);
            in.exception = nullptr;
            in.runs.open(current_run::next());
            site.interruptions = &in.runs.deliveries();
            site.interruptions_seen = in.runs.deliveries().load();
        }
        waits.store(round);
        waiter w;
        EXPECT_EQ(w.wait(*in.side, never_expected(), site, spin), outcome::interrupted);
        {
            const std::lock_guard held(in.gil);
            EXPECT_EQ(in.exception, &one_class);
            static_cast<void>(in.runs.close(false));
        }
    }
    asker.join();
    EXPECT_TRUE(never_aimed_at.pending());
    wakeup owed;
    EXPECT_TRUE(never_aimed_at.complete(outcome::ok, owed));
    owed.fire();
    bystander.join();
}

} // namespace
} // namespace isthmus::core::test

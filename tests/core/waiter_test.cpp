#include "channel_fixture.hpp"

#include <csignal>
#include <mutex>
#include <pthread.h>
#include <vector>

namespace isthmus::core::test {
namespace {

TEST(short_lock, excludes) {
    short_lock guard;
    long count = 0; // not atomic on purpose
    constexpr int each = 20'000;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < each; ++i) {
                const std::lock_guard held(guard);
                ++count;
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(count, 4L * each);
    EXPECT_TRUE(guard.try_lock());
    EXPECT_FALSE(guard.try_lock());
    guard.unlock();
}

TEST(futex, tells_why_it_returned) {
    futex::word w{1};
    EXPECT_EQ(futex::wait(w, 0), futex::wait_result::woken); // differs: returns at once
    EXPECT_EQ(futex::wait(w, 1, futex::now() + 1'000'000), futex::wait_result::timed_out);
    EXPECT_EQ(futex::wait(w, 1, futex::deadline(-5)), futex::wait_result::timed_out);
}

TEST(waiter, ends_once) {
    waiter w;
    wakeup owed;
    EXPECT_TRUE(w.pending());
    EXPECT_TRUE(w.complete(outcome::ok, owed, 17));
    EXPECT_FALSE(w.complete(outcome::closed, owed, 18));
    w.interrupt();
    EXPECT_EQ(w.tag(), 17U);
    const auto by = party::create();
    wait_site site;
    spin_budget spin;
    EXPECT_EQ(w.wait(*by, std::nullopt, site, spin), outcome::ok);
    EXPECT_EQ(by->waiters(), 0U);
}

TEST(waiter, one_of_many_completers_wins) {
    const auto by = party::create();
    spin_budget spin;
    for (int round = 0; round < 300; ++round) {
        waiter w;
        std::atomic<int> won{0};
        std::vector<std::thread> threads;
        for (std::uint32_t t = 1; t <= 3; ++t) {
            threads.emplace_back([&w, &won, t] {
                wakeup owed;
                won += w.complete(outcome::ok, owed, t) ? static_cast<int>(t) : 0;
                owed.fire();
            });
        }
        wait_site site;
        EXPECT_EQ(w.wait(*by, never_expected(), site, spin), outcome::ok);
        for (std::thread& t : threads) {
            t.join();
        }
        EXPECT_EQ(static_cast<int>(w.tag()), won);
    }
}

TEST(waiter, times_out) {
    const auto by = party::create();
    spin_budget spin;
    for (const std::int64_t us : {-10, 0, 1, 50, 3000}) {
        waiter w;
        wait_site site;
        const futex::deadline until = in_microseconds(us);
        EXPECT_EQ(w.wait(*by, until, site, spin), outcome::timed_out);
        EXPECT_GE(futex::now(), *until);
    }
}

TEST(party, ids_are_never_reused) {
    const party_id first = party::create()->id();
    EXPECT_GT(first, 0U);
    EXPECT_GT(party::create()->id(), first);
}

TEST(party, close_wakes_its_waiters_and_only_them) {
    const auto closing = party::create();
    const auto other = party::create();
    constexpr int n = 3;
    waiter theirs;
    std::atomic<int> woken{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < n; ++i) {
        threads.emplace_back([&] {
            waiter w;
            wait_site site;
            spin_budget spin;
            woken += w.wait(*closing, never_expected(), site, spin) == outcome::party_closing;
        });
    }
    std::thread bystander([&] {
        wait_site site;
        spin_budget spin;
        EXPECT_EQ(theirs.wait(*other, never_expected(), site, spin), outcome::ok);
    });
    while (closing->waiters() != n || other->waiters() != 1) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(closing->wait_idle(in_microseconds(10)));
    closing->begin_close();
    EXPECT_TRUE(closing->wait_idle(never_expected()));
    EXPECT_EQ(closing->waiters(), 0U);
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(woken, n);
    EXPECT_TRUE(theirs.pending());
    wakeup owed;
    EXPECT_TRUE(theirs.complete(outcome::ok, owed));
    owed.fire();
    bystander.join();
    waiter late;
    wait_site site;
    spin_budget spin;
    EXPECT_EQ(late.wait(*closing, std::nullopt, site, spin), outcome::party_closing);
}

// --- signals

std::atomic<waiter*> current{nullptr};
std::atomic<std::uint32_t> signals{0};

void on_signal(int) {
    signals.fetch_add(1, std::memory_order_relaxed);
    if (waiter* const w = current.load(std::memory_order_relaxed)) {
        w->interrupt();
    }
}

class signalled : public ends {
  protected:
    signalled() { install(SA_RESTART); }
    ~signalled() override { ::sigaction(SIGUSR1, &before_, nullptr); }

    void install(int flags) {
        struct sigaction action = {};
        action.sa_handler = on_signal;
        action.sa_flags = flags;
        struct sigaction replaced = {};
        ::sigaction(SIGUSR1, &action, &replaced);
        if (!installed_) {
            before_ = replaced;
        }
        installed_ = true;
        signals = 0;
    }

  private:
    struct sigaction before_ = {};
    bool installed_ = false;
};

TEST_F(signalled, handler_interrupts_a_parked_receiver) {
    std::atomic<bool> finished{false};
    std::thread receiver([&] {
        message m;
        wait_site site{.current = &current};
        EXPECT_EQ(c->recv(*b, m, never_expected(), site), outcome::interrupted);
        EXPECT_EQ(current.load(), nullptr);
        EXPECT_TRUE(m.empty());
        finished = true;
    });
    wait_parked_receivers(*c, 1);
    while (!finished) { // a signal that comes before the wait is published goes by: that is what `signals` is
                        // for
        ::pthread_kill(receiver.native_handle(), SIGUSR1);
        std::this_thread::yield();
    }
    receiver.join();
    EXPECT_EQ(c->parked_receivers(), 0U);
}

TEST_F(signalled, one_signal_after_the_look_is_enough) {
    for (int round = 0; round < 200; ++round) {
        std::atomic<bool> looked{false};
        std::thread receiver([&] {
            wait_site site{.current = &current, .signals = &signals, .seen = signals.load()};
            looked = true;
            message m;
            EXPECT_EQ(c->recv(*b, m, never_expected(), site), outcome::interrupted);
        });
        while (!looked) {
            std::this_thread::yield();
        }
        ::pthread_kill(receiver.native_handle(), SIGUSR1); // anywhere between the look and the sleep
        receiver.join();
    }
}

TEST_F(signalled, an_interrupted_send_keeps_its_message) {
    std::atomic<bool> looked{false};
    std::thread sender([&] {
        message m = numbered(5);
        wait_site site{.current = &current, .signals = &signals, .seen = signals.load()};
        looked = true;
        EXPECT_EQ(c->send(*a, m, never_expected(), site), outcome::interrupted);
        EXPECT_EQ(number_of(m), 5U);
    });
    while (!looked) {
        std::this_thread::yield();
    }
    ::pthread_kill(sender.native_handle(), SIGUSR1);
    sender.join();
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
}

TEST_F(signalled, eintr_counts_on_the_main_thread_only) {
    install(0); // no SA_RESTART: the kernel says EINTR
    for (const bool main_thread : {true, false}) {
        std::atomic<bool> finished{false};
        std::atomic<outcome> result{outcome::ok};
        std::thread receiver([&] {
            message m;
            wait_site site{.main_thread = main_thread};
            result = c->recv(*b, m, never_expected(), site);
            finished = true;
        });
        wait_parked_receivers(*c, 1);
        const futex::nanoseconds enough =
            futex::now() + 20'000'000; // retried EINTRs show nothing: try for a while
        while (!finished && (main_thread || futex::now() < enough)) {
            ::pthread_kill(receiver.native_handle(), SIGUSR1);
            std::this_thread::yield();
        }
        if (!main_thread) {
            EXPECT_EQ(try_send(*a, 1), outcome::ok);
        }
        receiver.join();
        EXPECT_EQ(result, main_thread ? outcome::interrupted : outcome::ok);
    }
}

} // namespace
} // namespace isthmus::core::test

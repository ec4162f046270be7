/// Waiting at an address, and the atomic elements that use it: no wake-up is lost, none goes astray
/// (core/parking_lot.hpp, core/atomic_cell.hpp).

#include "core/atomic_cell.hpp"

#include "channel_fixture.hpp"

#include <array>
#include <csignal>
#include <deque>
#include <limits>
#include <pthread.h>
#include <random>
#include <vector>

namespace isthmus::core::test {
namespace {

constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

outcome park_at(const void* address, party& by, futex::deadline until = never_expected()) {
    wait_site site;
    return parking_lot::park_while(
        address, [] { return true; }, by, until, site);
}

void wait_parked_at(const void* address, std::size_t n) {
    while (parking_lot::parked_at(address) != n) {
        std::this_thread::yield();
    }
}

class lots : public ::testing::Test {
  protected:
    ~lots() override {
        for (std::thread& each : threads_) {
            each.join();
        }
    }
    /// A thread parks at `address`; returns once it has. What it returns counts up when the thread was woken.
    std::atomic<int>& park(const void* address) {
        const std::size_t before = parking_lot::parked_at(address);
        std::atomic<int>& woken = woken_.emplace_back(0);
        threads_.emplace_back([this, address, &woken] {
            EXPECT_EQ(park_at(address, *by), outcome::ok);
            ++woken;
        });
        wait_parked_at(address, before + 1);
        return woken;
    }
    const std::shared_ptr<party> by = party::create();
    alignas(8) std::array<std::byte, 4096> room{};

  private:
    std::deque<std::atomic<int>> woken_; ///< outlives the threads, unlike what a test's body has
    std::vector<std::thread> threads_;
};

void wait_for(const std::atomic<int>& count, int n) {
    while (count != n) {
        std::this_thread::yield();
    }
}

TEST_F(lots, a_condition_that_does_not_hold_does_not_park) {
    wait_site site;
    EXPECT_EQ(parking_lot::park_while(
                  room.data(), [] { return false; }, *by, std::nullopt, site),
              outcome::would_block);
    EXPECT_EQ(parking_lot::unpark(room.data(), all), 0U);
}

TEST_F(lots, the_condition_is_looked_at_under_the_lock_and_after_being_counted) {
    parking_lot::bucket& chosen = parking_lot::bucket_of(room.data());
    bool counted = false;
    bool locked = false;
    wait_site site;
    const auto look = [&] {
        counted = chosen.near == 1;
        locked = !chosen.lock.try_lock();
        return false;
    };
    EXPECT_EQ(parking_lot::park_while(room.data(), look, *by, std::nullopt, site), outcome::would_block);
    EXPECT_TRUE(counted);
    EXPECT_TRUE(locked);
    EXPECT_EQ(chosen.near, 0U);
}

TEST_F(lots, nobody_is_left_parked_after_a_timeout) {
    for (const std::int64_t us : {-10, 0, 50, 2000}) {
        const futex::deadline until = in_microseconds(us);
        EXPECT_EQ(park_at(room.data(), *by, until), outcome::timed_out);
        EXPECT_GE(futex::now(), *until);
        EXPECT_EQ(parking_lot::parked_at(room.data()), 0U);
    }
    EXPECT_EQ(parking_lot::unpark(room.data(), all), 0U);
}

TEST_F(lots, as_many_are_woken_as_were_asked_for_and_the_first_ones_first) {
    std::vector<std::atomic<int>*> done;
    for (int i = 0; i < 5; ++i) {
        done.push_back(&park(room.data()));
    }
    EXPECT_EQ(parking_lot::unpark(room.data(), 0), 0U);
    EXPECT_EQ(parking_lot::unpark(room.data(), 2), 2U);
    wait_for(*done[0], 1);
    wait_for(*done[1], 1);
    EXPECT_EQ(parking_lot::parked_at(room.data()), 3U);
    EXPECT_EQ(*done[2] + *done[3] + *done[4], 0);
    EXPECT_EQ(parking_lot::unpark(room.data(), 1), 1U);
    wait_for(*done[2], 1);
    EXPECT_EQ(parking_lot::unpark(room.data(), all), 2U);
    EXPECT_EQ(parking_lot::unpark(room.data(), all), 0U);
}

TEST_F(lots, more_are_woken_at_once_than_are_remembered_for_after_the_lock) {
    for (int i = 0; i < 40; ++i) {
        park(room.data());
    }
    EXPECT_EQ(parking_lot::unpark(room.data(), all), 40U); // all are joined in the end
}

TEST_F(lots, addresses_that_fall_together_are_kept_apart) {
    const std::byte* const mine = room.data();
    const std::byte* other = mine + 1;
    while (&parking_lot::bucket_of(other) != &parking_lot::bucket_of(mine)) {
        ++other; // need not be memory of ours: it is only a name
    }
    const std::atomic<int>& first_other = park(other);
    const std::atomic<int>& first = park(mine);
    const std::atomic<int>& second_other = park(other);
    const std::atomic<int>& second = park(mine);
    EXPECT_EQ(parking_lot::unpark(mine, all), 2U);
    wait_for(first, 1);
    wait_for(second, 1);
    EXPECT_EQ(first_other + second_other, 0);
    EXPECT_EQ(parking_lot::unpark(other, all), 2U);
}

TEST_F(lots, a_party_that_closes_leaves_and_uses_up_no_wake) {
    const auto closing = party::create();
    std::thread leaver([&] { EXPECT_EQ(park_at(room.data(), *closing), outcome::party_closing); });
    wait_parked_at(room.data(), 1);
    const std::atomic<int>& stays = park(room.data());
    closing->begin_close();
    leaver.join();
    EXPECT_EQ(stays, 0);
    EXPECT_EQ(parking_lot::unpark(room.data(), 1), 1U);
    EXPECT_EQ(park_at(room.data(), *closing), outcome::party_closing);
    EXPECT_EQ(parking_lot::parked_at(room.data()), 0U);
}

std::atomic<waiter*> parked_waiter{nullptr};

void wake_parked(int) {
    if (waiter* const w = parked_waiter.load(std::memory_order_relaxed)) {
        w->interrupt();
    }
}

TEST_F(lots, an_interrupted_wait_leaves) {
    struct sigaction action = {};
    struct sigaction before = {};
    action.sa_handler = wake_parked;
    action.sa_flags = SA_RESTART;
    ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
    std::atomic<bool> finished{false};
    std::thread sleeper([&] {
        wait_site site{.current = &parked_waiter};
        EXPECT_EQ(parking_lot::park_while(
                      room.data(), [] { return true; }, *by, never_expected(), site),
                  outcome::interrupted);
        finished = true;
    });
    wait_parked_at(room.data(), 1);
    while (!finished) { // one that comes before the wait is published goes by
        ::pthread_kill(sleeper.native_handle(), SIGUSR1);
        std::this_thread::yield();
    }
    sleeper.join();
    EXPECT_EQ(parking_lot::parked_at(room.data()), 0U);
    ::sigaction(SIGUSR1, &before, nullptr);
}

// ---- elements

class cells : public lots, public ::testing::WithParamInterface<std::size_t> {
  protected:
    [[nodiscard]] atomic_cell at(std::size_t index) { return {room.data() + index * GetParam(), GetParam()}; }
    [[nodiscard]] std::uint64_t largest() const { return GetParam() == 4 ? 0xFFFF'FFFFULL : ~0ULL; }
};
INSTANTIATE_TEST_SUITE_P(of, cells, ::testing::Values(4U, 8U),
                         [](const auto& size) { return std::to_string(size.param * 8) + "_bits"; });

TEST_P(cells, operations_return_what_was_there_and_wrap_around) {
    const atomic_cell one = at(1);
    one.store(5);
    EXPECT_EQ(one.load(), 5U);
    EXPECT_EQ(one.add(largest()), 5U);
    EXPECT_EQ(one.subtract(6), 4U);
    EXPECT_EQ(one.load(), largest() - 1);
    EXPECT_EQ(one.exchange(0b1100), largest() - 1);
    EXPECT_EQ(one.bit_and(0b0110), 0b1100U);
    EXPECT_EQ(one.bit_or(0b0011), 0b0100U);
    EXPECT_EQ(one.bit_xor(largest()), 0b0111U);
    EXPECT_EQ(one.compare_exchange(0b0111, 1), largest() ^ 0b0111);
    EXPECT_EQ(one.load(), largest() ^ 0b0111) << "not what was expected";
    EXPECT_EQ(one.compare_exchange(largest() ^ 0b0111, 1), largest() ^ 0b0111);
    EXPECT_EQ(one.load(), 1U);
    EXPECT_EQ(at(0).load(), 0U);
    EXPECT_EQ(at(2).load(), 0U) << "neighbours are left alone";
}

TEST_P(cells, no_change_is_lost) {
    constexpr std::uint64_t each = 20'000;
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([this, t] {
            for (std::uint64_t i = 0; i < each; ++i) {
                at(0).add(1);
                at(1).subtract(1);
                at(2).bit_xor(std::uint64_t{1} << t);
                for (std::uint64_t seen = at(3).load();;) {
                    const std::uint64_t old = at(3).compare_exchange(seen, seen + 3);
                    if (old == seen) {
                        break;
                    }
                    seen = old;
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(at(0).load(), 4 * each);
    EXPECT_EQ(at(1).load(), (0 - 4 * each) & largest());
    EXPECT_EQ(at(2).load(), 0U) << "an even number of times each";
    EXPECT_EQ(at(3).load(), 4 * each * 3);
}

TEST_P(cells, what_differs_is_not_waited_for) {
    wait_site site;
    at(0).store(largest());
    EXPECT_EQ(at(0).wait(0, *by, never_expected(), site), outcome::would_block);
    // The kernel compares 32 bits; a difference in the upper ones must count as well.
    at(0).store(largest() ^ (largest() >> 1));
    EXPECT_EQ(at(0).wait(0, *by, never_expected(), site), outcome::would_block);
    EXPECT_EQ(at(0).wait(largest() ^ (largest() >> 1), *by, in_microseconds(100), site), outcome::timed_out);
}

TEST_P(cells, no_wake_is_lost_between_two_that_alternate) {
    constexpr std::uint64_t rounds = 10'000;
    // Only bits above the lowest 32 change where there are such.
    const std::uint64_t step = largest() / 0xFFFF + 1;
    const auto turns = [&](std::uint64_t first) {
        wait_site site;
        for (std::uint64_t i = first; i < rounds; i += 2) {
            for (std::uint64_t seen = at(0).load(); seen != i * step; seen = at(0).load()) {
                EXPECT_NE(at(0).wait(seen, *by, never_expected(), site), outcome::timed_out);
            }
            at(0).store((i + 1) * step);
            at(0).notify(1);
        }
    };
    std::thread even([&] { turns(0); });
    turns(1);
    even.join();
    EXPECT_EQ(at(0).load(), rounds * step);
}

TEST_P(cells, a_semaphore_of_it_loses_nothing_among_many_with_timeouts) {
    constexpr int givers = 2;
    constexpr int takers = 3;
    constexpr int each = 6'000;
    std::atomic<int> taken{0};
    std::vector<std::thread> threads;
    for (int g = 0; g < givers; ++g) {
        threads.emplace_back([this] {
            for (int i = 0; i < each; ++i) {
                at(0).add(1);
                at(0).notify(1);
            }
        });
    }
    for (unsigned t = 0; t < takers; ++t) {
        threads.emplace_back([this, t, &taken] {
            std::minstd_rand chance(t + 1);
            wait_site site;
            for (int got = 0; got < givers * each / takers;) {
                const std::uint64_t seen = at(0).load();
                if (seen == 0) {
                    const bool patient = chance() % 3 != 0;
                    const outcome how =
                        at(0).wait(0, *by, patient ? never_expected() : in_microseconds(20), site);
                    EXPECT_TRUE(!patient || how != outcome::timed_out);
                } else if (at(0).compare_exchange(seen, seen - 1) == seen) {
                    ++got;
                    ++taken;
                }
            }
            // Others may sleep on what this one was woken for.
            at(0).notify(all);
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(taken, givers * each);
    EXPECT_EQ(at(0).load(), 0U);
    EXPECT_EQ(parking_lot::parked_at(room.data()), 0U);
}

TEST_P(cells, a_lock_of_it_excludes) {
    // 0 free, 1 held, 2 held and somebody may sleep: Drepper's mutex.
    long count = 0; // not atomic on purpose
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            wait_site site;
            for (int i = 0; i < 5'000; ++i) {
                if (at(0).compare_exchange(0, 1) != 0) {
                    while (at(0).exchange(2) != 0) {
                        EXPECT_NE(at(0).wait(2, *by, never_expected(), site), outcome::timed_out);
                    }
                }
                ++count;
                if (at(0).exchange(0) == 2) {
                    at(0).notify(1);
                }
            }
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    EXPECT_EQ(count, 4L * 5'000);
}

} // namespace
} // namespace isthmus::core::test

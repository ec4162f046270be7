/// Many threads at once; every message is counted. The seed is printed: ISTHMUS_TEST_SEED=n runs it again.
#include "channel_fixture.hpp"
#include "seed.hpp"

#include <algorithm>
#include <random>
#include <vector>

namespace isthmus::core::test {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int scale = 1;
#else
constexpr int scale = 4;
#endif

/// -1: unbounded.
class channel_stress : public ends, public ::testing::WithParamInterface<int> {
  protected:
    channel_stress() {
        open(GetParam() < 0 ? std::nullopt
                            : std::optional<std::size_t>(static_cast<std::size_t>(GetParam())));
    }
};

TEST_P(channel_stress, nothing_is_lost_or_doubled_and_each_sender_keeps_its_order) {
    constexpr std::uint64_t senders = 3;
    constexpr std::uint64_t receivers = 3;
    const std::uint64_t each = 4000U * scale;
    std::vector<std::vector<std::uint64_t>> arrived(receivers);
    std::vector<std::thread> threads;
    std::vector<std::shared_ptr<party>> parties;
    for (std::uint64_t s = 0; s < senders; ++s) {
        parties.push_back(party::create());
        c->add_holder(end::send, *parties.back());
    }
    c->close(end::send, *a);
    for (std::uint64_t s = 0; s < senders; ++s) {
        threads.emplace_back([&, s, me = parties[s]] {
            for (std::uint64_t i = 0; i < each; ++i) {
                ASSERT_EQ(send(*me, s << 32 | i), outcome::ok);
            }
            c->close(end::send, *me);
        });
    }
    for (std::uint64_t r = 0; r < receivers; ++r) {
        threads.emplace_back([&, r] {
            for (received one = recv(*b); one.how == outcome::ok; one = recv(*b)) {
                arrived[r].push_back(one.number);
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    std::vector<std::uint64_t> all;
    for (const std::vector<std::uint64_t>& mine : arrived) {
        std::vector<std::uint64_t> last(senders, 0);
        for (const std::uint64_t n : mine) {
            const std::uint64_t i = (n & 0xffff'ffff) + 1;
            ASSERT_GT(i, last[n >> 32]); // what one receiver gets from one sender is in order
            last[n >> 32] = i;
        }
        all.insert(all.end(), mine.begin(), mine.end());
    }
    std::ranges::sort(all);
    ASSERT_EQ(all.size(), senders * each);
    EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
    EXPECT_EQ(recv(*b), ended(outcome::closed));
    EXPECT_EQ(c->parked_receivers() + c->parked_senders(), 0U);
}

TEST_P(channel_stress, tiny_deadlines_neither_lose_nor_double) {
    constexpr std::uint64_t threads_each = 2;
    const std::uint64_t seed = test_seed();
    const std::uint64_t each = 3000U * scale;
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> kept{0};
    std::atomic<std::uint64_t> taken{0};
    std::atomic<std::uint64_t> sum_sent{0};
    std::atomic<std::uint64_t> sum_taken{0};
    std::atomic<int> alive{0};
    std::atomic<std::uint64_t> sending{threads_each};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < threads_each; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937_64 random(seed + t);
            for (std::uint64_t i = 0; i < each; ++i) {
                const std::uint64_t n = t * each + i;
                auto body = std::make_unique<parcel>();
                body->attachments.push_back(std::make_unique<tracer>(alive));
                std::byte bytes[sizeof n];
                std::memcpy(bytes, &n, sizeof n);
                message m(1, std::move(body), bytes);
                wait_site site;
                const auto until = futex::now() + static_cast<futex::nanoseconds>(random() % 60'000);
                const outcome how = c->send(*a, m, until, site);
                ASSERT_TRUE(how == outcome::ok || how == outcome::timed_out);
                ASSERT_EQ(m.empty(), how == outcome::ok);
                (how == outcome::ok ? sent : kept) += 1;
                sum_sent += how == outcome::ok ? n : 0;
            }
            --sending;
        });
        threads.emplace_back([&, t] {
            std::mt19937_64 random(seed - t - 1);
            for (;;) {
                const bool last_round = sending == 0; // read before: what was sent by then must be found
                message m;
                wait_site site;
                const auto until = futex::now() + static_cast<futex::nanoseconds>(random() % 60'000);
                const outcome how = c->recv(*b, m, until, site);
                if (how == outcome::ok) {
                    taken += 1;
                    sum_taken += number_of(m);
                    continue;
                }
                ASSERT_EQ(how, outcome::timed_out);
                ASSERT_TRUE(m.empty());
                if (last_round) {
                    return;
                }
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(sent + kept, threads_each * each);
    EXPECT_EQ(taken, sent);
    EXPECT_EQ(sum_taken, sum_sent);
    EXPECT_EQ(alive, 0);
    EXPECT_GT(sent, 0U);
    EXPECT_EQ(c->size(), 0U);
    EXPECT_EQ(c->parked_receivers() + c->parked_senders(), 0U);
}

TEST_P(channel_stress, parties_come_close_and_die_at_random) {
    std::mt19937_64 random(test_seed());
    std::atomic<int> alive{0};
    for (int round = 0; round < 40 * scale; ++round) {
        open(c->capacity());
        std::vector<std::shared_ptr<party>> parties;
        std::vector<std::thread> threads;
        std::atomic<std::uint64_t> sent{0};
        std::atomic<std::uint64_t> taken{0};
        c->close(end::send, *a);
        for (int t = 0; t < 4; ++t) {
            const end which = t % 2 == 0 ? end::send : end::recv;
            parties.push_back(party::create());
            c->add_holder(which, *parties.back());
        }
        c->close(end::recv, *b);
        for (int t = 0; t < 4; ++t) {
            const std::uint64_t operations = random() % 200;
            const bool dies = random() % 2 == 0;
            threads.emplace_back([&, t, operations, dies, me = parties[static_cast<std::size_t>(t)]] {
                const end which = t % 2 == 0 ? end::send : end::recv;
                outcome how = outcome::ok;
                for (std::uint64_t i = 0; i < operations && how == outcome::ok; ++i) {
                    wait_site site;
                    message m;
                    if (which == end::send) {
                        m = traced(alive);
                        how = c->send(*me, m, never_expected(), site);
                        sent += how == outcome::ok;
                    } else {
                        how = c->recv(*me, m, never_expected(), site);
                        taken += how == outcome::ok;
                    }
                    EXPECT_TRUE(how == outcome::ok || how == outcome::closed);
                }
                if (dies) {
                    me->begin_close();
                    party_died_everywhere(*me);
                } else {
                    c->close(which, *me);
                }
            });
        }
        for (std::thread& t : threads) {
            t.join();
        }
        EXPECT_TRUE(c->is_closed());
        EXPECT_EQ(alive, 0) << "round " << round;
        EXPECT_LE(taken, sent);
        if (GetParam() == 0) {
            EXPECT_EQ(taken, sent);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(capacities, channel_stress, ::testing::Values(0, 1, 2, 100, -1));

} // namespace
} // namespace isthmus::core::test

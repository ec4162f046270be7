/// Channels and queues end at any moment, under operations of every kind: nobody hangs, each gets an outcome
/// that the ending explains, what was sent is received or destroyed, once.
#include "channel_fixture.hpp"
#include "seed.hpp"

#include "core/queue.hpp"
#include "core/select.hpp"

#include <array>
#include <random>
#include <vector>

namespace isthmus::core::test {
namespace {

/// How a round ends: each is done by another party than those that wait, at a random moment.
enum class ending : unsigned { close_senders, close_receivers, poison, die, count_ };

class endings : public ::testing::Test {
  protected:
    static constexpr std::size_t workers = 4;

    struct worker {
        std::shared_ptr<party> me = party::create();
        spin_budget spinning;
        int sent = 0;
        int received = 0;
        outcome last = outcome::ok;
    };

    /// One operation, chosen at random, of a sender or a receiver. May time out.
    outcome operate(worker& w, channel& c, bool sends, std::mt19937& random) {
        wait_site site;
        message m = sends ? traced(alive_) : message{};
        const futex::deadline until = in_microseconds(random() % 200);
        const end which = sends ? end::send : end::recv;
        outcome how{};
        switch (random() % 3) {
        case 0:
            how = sends ? c.send(*w.me, m, until, site) : c.recv(*w.me, m, until, site);
            break;
        case 1:
            how = c.attempt(which, *w.me, m);
            break;
        default: {
            message none;
            const std::array<select_case, 2> cases = {select_case{&c, which, &m},
                                                      select_case{idle_.get(), end::recv, &none}};
            how = select(*w.me, cases, until, site, w.spinning).how;
        }
        }
        if (how == outcome::ok) {
            ++(sends ? w.sent : w.received);
        } else {
            EXPECT_EQ(m.empty(), !sends); // what was not sent is still there
        }
        return how;
    }

    void work(worker& w, channel& c, bool sends, unsigned chance) {
        std::mt19937 random(chance);
        for (;;) {
            w.last = operate(w, c, sends, random);
            if (w.last != outcome::ok && w.last != outcome::timed_out && w.last != outcome::would_block) {
                return;
            }
        }
    }

    /// The outcome that tells a worker about this ending.
    static bool explains(ending how, outcome last) {
        switch (how) {
        case ending::poison:
            return last == outcome::poisoned;
        case ending::die:
            return last == outcome::closed || last == outcome::party_closing || last == outcome::released;
        default:
            return last == outcome::closed || last == outcome::released;
        }
    }

    void round(std::mt19937& random) {
        constexpr std::array<std::optional<std::size_t>, 4> capacities = {0, 1, 5, std::nullopt};
        const auto c = channel::create(capacities[random() % capacities.size()]);
        const auto how = static_cast<ending>(random() % static_cast<unsigned>(ending::count_));
        std::array<worker, workers> all;
        for (std::size_t i = 0; i < workers; ++i) {
            c->add_holder(i % 2 == 0 ? end::send : end::recv, *all[i].me);
        }
        {
            std::vector<std::jthread> running;
            for (std::size_t i = 0; i < workers; ++i) {
                running.emplace_back([&, i, chance = random()] {
                    work(all[i], *c, i % 2 == 0, static_cast<unsigned>(chance));
                });
            }
            const futex::deadline moment = in_microseconds(random() % 500);
            while (futex::now() < *moment) {
                std::this_thread::yield();
            }
            finish(how, *c, all);
        }
        for (const worker& w : all) {
            EXPECT_TRUE(explains(how, w.last)) << static_cast<int>(how) << ' ' << static_cast<int>(w.last);
        }
        const channel::statistics seen = c->look();
        const auto sent = static_cast<std::uint64_t>(all[0].sent + all[2].sent);
        const auto received = static_cast<std::uint64_t>(all[1].received + all[3].received);
        EXPECT_EQ(seen.sent, sent);
        EXPECT_EQ(seen.received, received);
        EXPECT_EQ(seen.sent, seen.received + seen.dropped + seen.buffered);
        EXPECT_EQ(seen.waiting_receivers + seen.waiting_senders, 0U);
        for (std::size_t i = 0; i < workers; ++i) {
            c->drop_holder(i % 2 == 0 ? end::send : end::recv, *all[i].me);
        }
    }

    static void finish(ending how, channel& c, std::array<worker, workers>& all) {
        switch (how) {
        case ending::close_senders:
        case ending::close_receivers:
            for (std::size_t i = how == ending::close_senders ? 0 : 1; i < workers; i += 2) {
                c.close(how == ending::close_senders ? end::send : end::recv, *all[i].me);
            }
            break;
        case ending::poison:
            EXPECT_EQ(c.poison(end::send, *all[0].me, "over"), outcome::ok);
            break;
        default:
            for (std::size_t i = 0; i < workers; i += 2) {
                all[i]
                    .me->begin_close(); // its waits end; a thread that only tries is stopped by the next line
                c.close(end::send, *all[i].me);
                all[i].me->wait_idle();
                c.party_died(*all[i].me);
                c.add_holder(end::send, *all[i].me); // so that it is dropped like the others
                c.close(end::send, *all[i].me);
            }
        }
    }

    std::atomic<int> alive_{0};
    std::shared_ptr<queue> idle_ = queue::create(0, unbound::replace); ///< nobody ever puts anything there
};

TEST_F(endings, at_any_moment_hang_nobody_and_lose_nothing) {
    const std::uint64_t chosen = test_seed();
    RecordProperty("seed", static_cast<int>(chosen));
    SCOPED_TRACE("ISTHMUS_TEST_SEED=" + std::to_string(chosen));
    std::mt19937 random(static_cast<std::uint32_t>(chosen));
    for (int i = 0; i < 300 && !HasFailure(); ++i) {
        round(random);
    }
    EXPECT_EQ(alive_, 0);
}

TEST_F(endings, of_queues_at_any_moment_hang_nobody_and_lose_nothing) {
    const std::uint64_t chosen = test_seed();
    SCOPED_TRACE("ISTHMUS_TEST_SEED=" + std::to_string(chosen));
    std::mt19937 random(static_cast<std::uint32_t>(chosen));
    for (int i = 0; i < 300 && !HasFailure(); ++i) {
        const auto q = queue::create(static_cast<std::int64_t>(random() % 4), unbound::replace);
        const bool immediate = random() % 2 == 0;
        std::array<worker, workers> all;
        {
            std::vector<std::jthread> running;
            for (std::size_t k = 0; k < workers; ++k) {
                running.emplace_back([&, k] {
                    worker& w = all[k];
                    do {
                        wait_site site;
                        message m = k % 2 == 0 ? traced(alive_) : message{};
                        const futex::deadline until = in_microseconds(static_cast<std::int64_t>(k) * 50);
                        w.last = k % 2 == 0 ? q->put(*w.me, m, until, site) : q->get(*w.me, m, until, site);
                        w.sent += k % 2 == 0 && w.last == outcome::ok ? 1 : 0;
                        w.received += k % 2 == 1 && w.last == outcome::ok ? 1 : 0;
                    } while (w.last == outcome::ok || w.last == outcome::timed_out);
                });
            }
            const futex::deadline moment = in_microseconds(random() % 500);
            while (futex::now() < *moment) {
                std::this_thread::yield();
            }
            q->shut_down(immediate);
        }
        for (const worker& w : all) {
            EXPECT_EQ(w.last, outcome::closed);
        }
        if (!immediate) { // the getters drained it
            EXPECT_EQ(all[0].sent + all[2].sent, all[1].received + all[3].received);
        }
        EXPECT_EQ(q->size(), 0U);
    }
    EXPECT_EQ(alive_, 0);
}

} // namespace
} // namespace isthmus::core::test

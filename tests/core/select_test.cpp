/// One wait for several operations: exactly one happens, none is lost, two selects meet, nobody starves.
#include "channel_fixture.hpp"

#include "core/queue.hpp"
#include "core/select.hpp"

#include <array>
#include <random>

namespace isthmus::core::test {
namespace {

class selects : public ::testing::Test {
  protected:
    std::shared_ptr<channel> open(std::optional<std::size_t> capacity = 0) {
        auto made = channel::create(capacity);
        made->add_holder(end::send, *a);
        made->add_holder(end::recv, *b);
        return made;
    }
    static select_case receive(conduit& from, message& into) { return {&from, end::recv, &into}; }
    static select_case offer(conduit& to, message& what) { return {&to, end::send, &what}; }
    template <std::size_t N>
    static selected wait(party& by, const std::array<select_case, N>& cases,
                         futex::deadline until = never_expected()) {
        wait_site site;
        spin_budget spinning;
        return select(by, cases, until, site, spinning);
    }
    static void until_parked(const std::shared_ptr<channel>& c, end which) {
        while ((which == end::recv ? c->parked_receivers() : c->parked_senders()) == 0) {
            std::this_thread::yield();
        }
    }

    std::shared_ptr<party> a = party::create();
    std::shared_ptr<party> b = party::create();
};

TEST_F(selects, take_the_case_that_is_ready) {
    const auto c = open(1);
    const auto d = open(1);
    message sent = numbered(5);
    ASSERT_EQ(d->try_send(*a, sent), outcome::ok);
    message first;
    message second;
    const selected done = wait<2>(*b, {receive(*c, first), receive(*d, second)});
    EXPECT_EQ(done.how, outcome::ok);
    EXPECT_EQ(done.index, 1U);
    EXPECT_EQ(number_of(second), 5U);
    EXPECT_TRUE(first.empty());
}

TEST_F(selects, wait_until_one_becomes_ready_and_leave_nothing_parked) {
    const auto c = open();
    const auto d = open();
    const std::jthread waiting([&] {
        message first;
        message second;
        const selected done = wait<2>(*b, {receive(*c, first), receive(*d, second)});
        EXPECT_EQ(done.how, outcome::ok);
        EXPECT_EQ(done.index, 1U);
        EXPECT_EQ(number_of(second), 6U);
        EXPECT_EQ(c->parked_receivers() + d->parked_receivers(), 0U);
    });
    until_parked(d, end::recv);
    message m = numbered(6);
    wait_site site;
    EXPECT_EQ(d->send(*a, m, never_expected(), site), outcome::ok);
}

TEST_F(selects, time_out_with_everything_still_offered) {
    const auto c = open();
    const auto q = queue::create(0, unbound::replace);
    message in;
    message out = numbered(1);
    EXPECT_EQ(wait<2>(*a, {offer(*c, out), receive(*q, in)}, in_microseconds(300)).how, outcome::timed_out);
    EXPECT_EQ(number_of(out), 1U);
    EXPECT_EQ(c->parked_senders(), 0U);
    EXPECT_EQ(q->parked_getters(), 0U);
    EXPECT_EQ(wait<0>(*a, {}, in_microseconds(300)).how, outcome::timed_out);
}

TEST_F(selects, name_the_case_that_is_closed) {
    const auto c = open();
    const auto d = open();
    const std::jthread waiting([&] {
        message first;
        message second;
        const selected done = wait<2>(*b, {receive(*c, first), receive(*d, second)});
        EXPECT_EQ(done.how, outcome::closed);
        EXPECT_EQ(done.index, 1U);
    });
    until_parked(d, end::recv);
    d->close(end::send, *a);
}

TEST_F(selects, of_a_closing_party_end) {
    const auto c = open();
    const std::jthread waiting([&] {
        message first;
        EXPECT_EQ(wait<1>(*b, {receive(*c, first)}).how, outcome::party_closing);
    });
    until_parked(c, end::recv);
    b->begin_close();
}

TEST_F(selects, never_meet_themselves) {
    const auto c = channel::create(0);
    c->add_holder(end::send, *a);
    c->add_holder(end::recv, *a);
    message in;
    message out = numbered(1);
    EXPECT_EQ(wait<2>(*a, {offer(*c, out), receive(*c, in)}, in_microseconds(300)).how, outcome::timed_out);
    EXPECT_EQ(number_of(out), 1U);
    EXPECT_TRUE(in.empty());
}

TEST_F(selects, with_both_ends_of_a_channel_meet_each_other) {
    const auto c = open();
    c->add_holder(end::recv, *a);
    c->add_holder(end::send, *b);
    constexpr int rounds = 2'000;
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    const auto play = [&](party& me) {
        for (int i = 0; i < rounds; ++i) {
            message in;
            message out = numbered(1);
            const selected done = wait<2>(me, {offer(*c, out), receive(*c, in)});
            ASSERT_EQ(done.how, outcome::ok);
            EXPECT_EQ(out.empty(), done.index == 0);
            EXPECT_EQ(in.empty(), done.index == 1 ? false : true);
            ++(done.index == 0 ? sent : received);
        }
    };
    {
        const std::jthread other([&] { play(*a); });
        play(*b);
    }
    EXPECT_EQ(sent, rounds);
    EXPECT_EQ(received, rounds);
}

TEST_F(selects, prefer_none_of_several_that_stay_ready) {
    constexpr int rounds = 4'000;
    std::array<std::shared_ptr<channel>, 4> all;
    std::array<message, 4> in;
    std::array<select_case, 4> cases{};
    std::array<int, 4> chosen{};
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = open(std::nullopt);
        cases[i] = receive(*all[i], in[i]);
        for (int n = 0; n < rounds; ++n) {
            message m = numbered(1);
            ASSERT_EQ(all[i]->try_send(*a, m), outcome::ok);
        }
    }
    for (int n = 0; n < rounds; ++n) {
        const selected done = wait(*b, cases);
        ASSERT_EQ(done.how, outcome::ok);
        ++chosen[done.index];
    }
    for (const int each : chosen) {
        EXPECT_GT(each, rounds / 4 / 2);
        EXPECT_LT(each, rounds / 4 * 2);
    }
}

TEST_F(selects, over_a_thousand_cases_find_the_one) {
    constexpr std::size_t many = 1'000;
    std::vector<std::shared_ptr<channel>> all;
    std::vector<message> in(many);
    std::vector<select_case> cases;
    for (std::size_t i = 0; i < many; ++i) {
        all.push_back(open());
        cases.push_back(receive(*all[i], in[i]));
    }
    const std::jthread waiting([&] {
        wait_site site;
        spin_budget spinning;
        const selected done = select(*b, cases, never_expected(), site, spinning);
        EXPECT_EQ(done.how, outcome::ok);
        EXPECT_EQ(done.index, 777U);
        EXPECT_EQ(number_of(in[777]), 3U);
    });
    message m = numbered(3);
    wait_site site;
    EXPECT_EQ(all[777]->send(*a, m, never_expected(), site), outcome::ok);
}

/// Senders and receivers at random over rendezvous and buffered channels and queues, by select and plainly,
/// with time-outs: what was sent is received, once.
TEST_F(selects, at_random_lose_and_double_nothing) {
    constexpr int threads = 6;
    constexpr int rounds = 3'000;
    std::array<std::shared_ptr<conduit>, 4> all = {channel::create(0), channel::create(1), channel::create(0),
                                                   queue::create(2, unbound::replace)};
    std::array<std::shared_ptr<party>, threads> parties;
    for (auto& each : parties) {
        each = party::create();
        for (const auto& c : all) {
            c->add_holder(end::send, *each);
            c->add_holder(end::recv, *each);
        }
    }
    std::atomic<std::uint64_t> sum_sent{0};
    std::atomic<std::uint64_t> sum_received{0};
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    const auto play = [&](int me) {
        std::mt19937 random(static_cast<unsigned>(me) + 1);
        party& by = *parties[static_cast<std::size_t>(me)];
        spin_budget spinning;
        for (int i = 0; i < rounds; ++i) {
            std::array<message, 4> cargo;
            std::array<select_case, 4> cases{};
            const std::size_t count = 1 + random() % cases.size();
            const std::uint64_t value = static_cast<std::uint64_t>(me) * rounds + static_cast<unsigned>(i);
            for (std::size_t k = 0; k < count; ++k) {
                const bool sends = random() % 2 == 0;
                if (sends) {
                    cargo[k] = numbered(value);
                }
                cases[k] = {all[random() % all.size()].get(), sends ? end::send : end::recv, &cargo[k]};
            }
            wait_site site;
            const selected done =
                select(by, std::span(cases).first(count), in_microseconds(200), site, spinning);
            if (done.how != outcome::ok) {
                ASSERT_EQ(done.how, outcome::timed_out);
            } else if (cases[done.index].which == end::send) {
                ASSERT_TRUE(cargo[done.index].empty());
                sum_sent += value;
                ++sent;
            } else {
                sum_received += number_of(cargo[done.index]);
                ++received;
            }
            for (std::size_t k = 0; k < count; ++k) { // only the case that happened had an effect
                if (done.how != outcome::ok || k != done.index) {
                    ASSERT_EQ(cargo[k].empty(), cases[k].which == end::recv);
                }
            }
        }
    };
    {
        std::vector<std::jthread> running;
        for (int i = 0; i < threads; ++i) {
            running.emplace_back(play, i);
        }
    }
    for (const auto& c : all) { // the buffered rest
        message m;
        while (c->attempt(end::recv, *parties[0], m) == outcome::ok) {
            sum_received += number_of(m);
            ++received;
        }
    }
    EXPECT_GT(sent, rounds);
    EXPECT_EQ(sent, received);
    EXPECT_EQ(sum_sent, sum_received);
}

} // namespace
} // namespace isthmus::core::test

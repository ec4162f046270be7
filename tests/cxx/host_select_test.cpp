/// select from C++: which case, fairness, sends, endings, time.

#include "balance.hpp"

#include <isthmus/select.hpp>

#include <atomic>
#include <map>
#include <thread>

namespace isthmus::test {
namespace {

using namespace std::chrono_literals;

class selects : public balanced {};

TEST_F(selects, the_case_that_is_ready_happens) {
    auto [a, to_a] = create_channel(1);
    auto [b, to_b] = create_channel(1);
    queue q;
    to_b.send("b");
    const selected first = select({a, b, q}, 60s);
    EXPECT_EQ(first.index, 1U);
    EXPECT_EQ(first.received, value("b"));
    q.put(3);
    const selected second = select({a, b, q}, 0ns);
    EXPECT_EQ(second.index, 2U);
    EXPECT_EQ(second.received, value(3));
    EXPECT_THROW(static_cast<void>(select({a, b, q}, 0ns)), timeout_error);
    EXPECT_THROW(static_cast<void>(select({a, b, q}, 2ms)), timeout_error);
}

TEST_F(selects, a_send_happens_once_and_only_if_chosen) {
    auto [a, to_a] = create_channel(1);
    auto [b, to_b] = create_channel(1);
    to_a.send("full");
    const selected done = select({{to_a, "not sent"}, {to_b, std::vector{1, 2}}}, 60s);
    EXPECT_EQ(done.index, 1U);
    EXPECT_TRUE(done.received.is_none());
    EXPECT_EQ(b.recv(), value(std::vector{1, 2}));
    EXPECT_EQ(a.recv<std::string>(), "full");
    EXPECT_EQ(a.recv_nowait(), std::nullopt);
    EXPECT_EQ(b.recv_nowait(), std::nullopt);
}

TEST_F(selects, a_sleeping_select_is_woken_by_either_side) {
    auto [a, to_a] = create_channel();
    auto [b, to_b] = create_channel();
    std::thread receiver([from = b, to = to_a]() mutable {
        const selected done = select({from, {to, "sent"}}, 60s);
        EXPECT_EQ(done.index, 1U);
    });
    EXPECT_EQ(a.recv<std::string>(60s), "sent");
    receiver.join();
    std::thread sender([&, to = to_b]() mutable {
        while (to.statistics().waiting_receivers == 0) {
            std::this_thread::yield();
        }
        to.send(5, 60s);
    });
    const selected done = select({a, b}, 60s);
    EXPECT_EQ(done.index, 1U);
    EXPECT_EQ(done.received, value(5));
    sender.join();
}

TEST_F(selects, none_that_stays_ready_is_preferred) {
    auto [a, to_a] = create_channel(std::nullopt);
    auto [b, to_b] = create_channel(std::nullopt);
    queue q;
    for (int i = 0; i < 300; ++i) {
        to_a.send(i);
        to_b.send(i);
        q.put(i);
    }
    std::map<std::size_t, int> times;
    for (int i = 0; i < 300; ++i) {
        ++times[select({a, b, q}).index];
    }
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_GE(times[i], 50) << i;
    }
}

TEST_F(selects, a_case_that_cannot_go_on_says_why) {
    auto [a, to_a] = create_channel(1);
    auto [b, to_b] = create_channel(1);
    to_a.close();
    EXPECT_EQ(b.recv_nowait(), std::nullopt);
    EXPECT_THROW(static_cast<void>(select({a}, 60s)), closed_error);
    EXPECT_THROW(static_cast<void>(select({{to_a, 1}}, 60s)), released_error);
    to_b.poison("bad");
    EXPECT_THROW(static_cast<void>(select({b}, 60s)), poisoned_error);
    queue q;
    q.shutdown();
    EXPECT_THROW(static_cast<void>(select({q}, 60s)), closed_error);
}

TEST_F(selects, what_cannot_cross_is_refused_before_anything_happens) {
    auto [a, to_a] = create_channel(1);
    auto [b, to_b] = create_channel(1);
    to_a.send(1);
    const value bad = std::vector{value::of(value::handle{})};
    EXPECT_THROW(static_cast<void>(select({a, {to_b, bad}}, 60s)), not_shareable_error);
    EXPECT_EQ(a.recv<int>(), 1);
}

TEST_F(selects, without_cases_it_waits_for_the_time) {
    EXPECT_THROW(static_cast<void>(select({}, 2ms)), timeout_error);
    EXPECT_THROW(static_cast<void>(select({}, std::nullopt)), std::invalid_argument);
}

TEST_F(selects, two_selects_meet_and_nothing_is_lost) {
    constexpr int rounds = 3'000;
    auto [a, to_a] = create_channel();
    auto [b, to_b] = create_channel();
    std::thread other([&, ra = a, rb = b]() mutable {
        for (int i = 0; i < rounds; ++i) {
            EXPECT_EQ(select({ra, rb}, 60s).received, value(i));
        }
    });
    for (int i = 0; i < rounds; ++i) {
        static_cast<void>(select({{to_a, i}, {to_b, i}}, 60s));
    }
    other.join();
}

} // namespace
} // namespace isthmus::test

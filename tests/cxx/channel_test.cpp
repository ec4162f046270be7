/// Channels from C++: every way an operation ends, by either side; order and completeness with many threads;
/// ends that travel; descriptors; forks.
#include "channel_fixture.hpp"

#include <ranges>

namespace isthmus::test {
namespace {

// ---- rendezvous, buffers, time

TEST_F(channels, a_rendezvous_returns_when_the_value_was_received) {
    auto [receiver, sender] = create_channel();
    EXPECT_FALSE(sender.send_nowait(1));
    EXPECT_THROW(sender.send(1, a_moment), timeout_error);
    std::atomic<bool> sent{false};
    std::thread other([&, to = sender]() mutable {
        to.send(std::tuple("hello", 2), never_over);
        sent = true;
    });
    until_senders_wait(receiver, 1);
    EXPECT_FALSE(sent);
    EXPECT_EQ(receiver.recv(never_over), value(std::tuple("hello", 2)));
    other.join();
    EXPECT_TRUE(sent);
    EXPECT_EQ(receiver.recv_nowait(), std::nullopt);
}

TEST_F(channels, a_buffer_holds_as_much_as_was_said) {
    auto [receiver, sender] = create_channel(2);
    EXPECT_TRUE(sender.send_nowait(1));
    sender.send(2, no_wait);
    EXPECT_FALSE(sender.send_nowait(3));
    EXPECT_THROW(sender.send(3, no_wait), timeout_error);
    EXPECT_EQ(receiver.statistics().buffered, 2U);
    EXPECT_EQ(receiver.recv<int>(), 1);
    sender.send(3, -5s);
    EXPECT_EQ(receiver.recv<int>(no_wait), 2);
    EXPECT_EQ(receiver.recv_nowait(), value(3));
    EXPECT_THROW(static_cast<void>(receiver.recv(no_wait)), timeout_error);
    EXPECT_THROW(static_cast<void>(receiver.recv(a_moment)), timeout_error);
    const channel_statistics seen = sender.statistics();
    EXPECT_EQ(seen.sent, 3U);
    EXPECT_EQ(seen.received, 3U);
    EXPECT_EQ(seen.dropped, 0U);
}

TEST_F(channels, none_without_limit_waits) {
    auto [receiver, sender] = create_channel(std::nullopt);
    std::vector<value> many;
    for (int i = 0; i < 1'000; ++i) {
        many.emplace_back(i);
    }
    sender.send_many(many, no_wait);
    EXPECT_EQ(receiver.recv_many(10).size(), 10U);
    const std::vector<value> rest = receiver.recv_many(5'000);
    ASSERT_EQ(rest.size(), 990U);
    EXPECT_EQ(rest.back(), value(999));
    EXPECT_THROW(static_cast<void>(receiver.recv_many(1, no_wait)), timeout_error);
    EXPECT_THROW(static_cast<void>(receiver.recv_many(0)), std::invalid_argument);
}

TEST_F(channels, any_range_is_sent_as_it_is_read) {
    auto [receiver, sender] = create_channel(std::nullopt);
    int read = 0;
    sender.send_many(std::views::iota(0, 200) | std::views::transform([&](int i) { return ++read, i * 2; }),
                     no_wait);
    EXPECT_EQ(read, 200);
    EXPECT_EQ(receiver.recv_many(300).back(), value(398));
    sender.send_many(std::vector<std::string>{"a", "b"});
    EXPECT_EQ(receiver.recv_many(3), (std::vector<value>{"a", "b"}));
    sender.send_many(std::vector<int>{});
    EXPECT_EQ(receiver.recv_nowait(), std::nullopt);
    auto [slow, full] = create_channel(100);
    read = 0;
    EXPECT_THROW(full.send_many(std::views::iota(0) | std::views::transform([&](int i) { return ++read, i; }),
                                a_moment),
                 timeout_error)
        << "of an endless one";
    EXPECT_EQ(read, 128) << "two batches";
    EXPECT_EQ(slow.recv_many(1'000).size(), 100U);
}

TEST_F(channels, many_are_sent_within_one_time) {
    auto [receiver, sender] = create_channel(3);
    const std::vector<value> five(5, value("x"));
    EXPECT_THROW(sender.send_many(five, a_moment), timeout_error);
    EXPECT_EQ(receiver.recv_many(9).size(), 3U) << "those before the one that failed";
    std::thread other([&, to = sender]() mutable { to.send_many(five, never_over); });
    std::size_t received = 0;
    while (received < 5) {
        received += receiver.recv_many(9, never_over).size();
    }
    other.join();
    EXPECT_EQ(received, 5U);
}

TEST_F(channels, of_many_those_before_the_one_that_cannot_cross_are_sent) {
    auto [receiver, sender] = create_channel(9);
    const std::vector<value> bad = {1, 2, std::vector{value::of(value::handle{})}, 4};
    EXPECT_THROW(sender.send_many(bad), not_shareable_error);
    EXPECT_EQ(receiver.recv_many(9), (std::vector<value>{1, 2}));
}

// ---- endings

TEST_F(channels, the_host_closes_each_end_once) {
    auto [receiver, sender] = create_channel(4);
    sender.send(1);
    EXPECT_TRUE(sender.close());
    EXPECT_FALSE(sender.close());
    EXPECT_THROW(sender.send(2), released_error);
    EXPECT_THROW(static_cast<void>(sender.send_nowait(2)), released_error);
    EXPECT_THROW(static_cast<void>(sender.fileno()), released_error);
    EXPECT_THROW(sender.poison("late"), released_error);
    EXPECT_FALSE(receiver.is_closed()) << "one is left";
    EXPECT_EQ(receiver.recv<int>(), 1);
    EXPECT_THROW(static_cast<void>(receiver.recv()), closed_error);
    EXPECT_THROW(static_cast<void>(receiver.recv_nowait()), closed_error);
    receiver.close();
    EXPECT_TRUE(receiver.is_closed());
}

TEST_F(channels, closing_wakes_the_hosts_own_waits) {
    auto [receiver, sender] = create_channel();
    std::thread waiting([from = receiver]() mutable {
        EXPECT_THROW(static_cast<void>(from.recv(never_over)), released_error);
    });
    until_receivers_wait(receiver, 1);
    receiver.close();
    waiting.join();
    EXPECT_THROW(sender.send(1, never_over), closed_error);
}

TEST_F(channels, iteration_ends_with_the_senders) {
    auto [receiver, sender] = create_channel(1);
    std::thread other([to = std::move(sender)]() mutable {
        for (int i = 0; i < 100; ++i) {
            to.send(i, never_over);
        }
        to.close();
    });
    int expected = 0;
    for (const value& each : receiver) {
        EXPECT_EQ(each.as<int>(), expected++);
    }
    EXPECT_EQ(expected, 100);
    other.join();
}

TEST_F(channels, somebody_elses_close_and_death_end_it_after_what_is_buffered) {
    for (const bool dies : {false, true}) {
        auto [receiver, sender] = create_channel(4);
        somebody there(sender.id(), core::end::send);
        sender.close();
        EXPECT_EQ(there.send("last"), core::outcome::ok);
        dies ? there.die() : there.close();
        EXPECT_EQ(receiver.recv<std::string>(never_over), "last");
        EXPECT_THROW(static_cast<void>(receiver.recv(never_over)), closed_error);
    }
}

TEST_F(channels, a_receiver_that_dies_wakes_the_hosts_senders) {
    auto [receiver, sender] = create_channel(1);
    somebody there(sender.id(), core::end::recv);
    receiver.close();
    sender.send(1);
    value got;
    EXPECT_EQ(there.recv(got), core::outcome::ok);
    sender.send(2);
    std::thread waiting([to = sender]() mutable { EXPECT_THROW(to.send(3, never_over), closed_error); });
    until_senders_wait(sender, 1);
    there.die();
    waiting.join();
}

TEST_F(channels, poison_wakes_and_ends_everybody_with_its_reason) {
    auto [receiver, sender] = create_channel(1);
    somebody there(sender.id(), core::end::recv);
    std::thread waiting([from = receiver]() mutable {
        try {
            static_cast<void>(from.recv(never_over));
            ADD_FAILURE() << "it received something";
        } catch (const poisoned_error& poison) {
            EXPECT_STREQ(poison.what(), "out of coffee");
        }
    });
    until_receivers_wait(receiver, 1);
    sender.poison("out of coffee");
    waiting.join();
    value got;
    EXPECT_EQ(there.recv(got), core::outcome::poisoned);
    EXPECT_THROW(sender.send(1), poisoned_error);
    EXPECT_THROW(sender.poison("again"), poisoned_error);
    EXPECT_TRUE(sender.is_closed());
}

TEST_F(channels, somebody_elses_poison_says_what_it_is_in_words) {
    auto [receiver, sender] = create_channel(1);
    somebody there(sender.id(), core::end::send);
    there.poison(detail::pack_reason("ValueError: bad") + "a pickle");
    try {
        static_cast<void>(receiver.recv());
        ADD_FAILURE() << "it received something";
    } catch (const poisoned_error& poison) {
        EXPECT_STREQ(poison.what(), "ValueError: bad");
    }
}

TEST_F(channels, the_last_object_of_an_end_drops_its_holder) {
    auto [receiver, sender] = create_channel(4);
    const std::shared_ptr<core::channel> inside = core::channel::all().find(sender.id());
    {
        std::optional<send_channel> copy = sender;
        const send_channel moved = std::move(*copy);
        copy.reset();
        EXPECT_EQ(moved, sender);
        EXPECT_EQ(inside->survey().holders, 2U) << "copies share one";
        const value another = moved;
        EXPECT_EQ(inside->survey().holders, 2U);
        const value received = detail::decode(detail::encode(another));
        EXPECT_EQ(inside->survey().holders, 3U) << "what was received has one of its own";
        EXPECT_EQ(inside->survey().in_flight, 0U);
    }
    EXPECT_EQ(inside->survey().holders, 2U);
    EXPECT_FALSE(receiver == sender);
}

// ---- many threads

TEST_F(channels, nothing_is_lost_and_each_senders_order_is_kept) {
    constexpr int senders = 4;
    constexpr int receivers = 3;
    constexpr int each = 2'000;
    for (const std::optional<std::size_t> capacity :
         {std::optional<std::size_t>{0}, std::optional<std::size_t>{7}, std::optional<std::size_t>{}}) {
        auto [receiver, sender] = create_channel(capacity);
        std::atomic<int> sending{senders};
        std::atomic<long> sum{0};
        std::vector<std::thread> all;
        for (int who = 0; who < senders; ++who) {
            all.emplace_back([&, who, to = sender]() mutable {
                for (int i = 0; i < each; i += 10) {
                    std::vector<value> ten;
                    for (int k = 0; k < 10; ++k) {
                        ten.emplace_back(std::pair(who, i + k));
                    }
                    if (i % 20 == 0) {
                        to.send_many(ten, never_over);
                    } else {
                        for (const value& one : ten) {
                            to.send(one, never_over);
                        }
                    }
                }
                if (--sending == 0) {
                    to.close();
                }
            });
        }
        std::atomic<int> count{0};
        for (int i = 0; i < receivers; ++i) {
            all.emplace_back([&, from = receiver]() mutable {
                std::array<int, senders> last;
                last.fill(-1);
                for (const value& one : from) {
                    const auto [who, n] = one.as<std::pair<std::size_t, int>>();
                    EXPECT_GT(n, last.at(who));
                    last.at(who) = n;
                    sum += n;
                    ++count;
                }
            });
        }
        for (std::thread& one : all) {
            one.join();
        }
        EXPECT_EQ(count, senders * each);
        EXPECT_EQ(sum, long{senders} * each * (each - 1) / 2);
    }
}

// ---- ends that travel, descriptors, GILs, forks

} // namespace
} // namespace isthmus::test

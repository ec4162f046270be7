/// Poison, statistics, many at once, descriptors to watch.
#include "channel_fixture.hpp"

#include "core/select.hpp"

#include <array>
#include <poll.h>

namespace isthmus::core::test {
namespace {

class channel_more : public ends {
  protected:
    static bool readable(int descriptor) {
        pollfd asked{descriptor, POLLIN, 0};
        return poll(&asked, 1, 0) == 1;
    }
};

TEST_F(channel_more, poison_ends_every_operation_and_drops_what_lies_there) {
    open(std::nullopt);
    std::atomic<int> alive{0};
    message m = traced(alive);
    ASSERT_EQ(c->try_send(*a, m), outcome::ok);
    EXPECT_EQ(c->poison(end::recv, *b, "why"), outcome::ok);
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(*c->poison(), "why");
    EXPECT_EQ(try_send(*a, 1), outcome::poisoned);
    EXPECT_EQ(recv(*b), ended(outcome::poisoned));
    EXPECT_EQ(c->poison(end::send, *a, "again"), outcome::poisoned);
    EXPECT_EQ(*c->poison(), "why");
    EXPECT_TRUE(c->is_closed());
    EXPECT_TRUE(c->close(end::send, *a)); // still the first time
}

TEST_F(channel_more, poison_wakes_who_waits) {
    {
        const std::jthread receiver([this] { EXPECT_EQ(recv(*b), ended(outcome::poisoned)); });
        wait_parked_receivers(*c, 1);
        EXPECT_EQ(c->poison(end::send, *a, "why"), outcome::ok);
    }
    open(0);
    const std::jthread sender([this] { EXPECT_EQ(send(*a, 1), outcome::poisoned); });
    wait_parked_senders(*c, 1);
    EXPECT_EQ(c->poison(end::recv, *b, "why"), outcome::ok);
}

TEST_F(channel_more, poison_needs_an_end_that_is_open) {
    open(1);
    c->close(end::send, *a);
    EXPECT_EQ(c->poison(end::send, *a, "why"), outcome::released);
    c->close(end::recv, *b);
    EXPECT_EQ(c->poison(end::recv, *b, "why"), outcome::closed);
    EXPECT_EQ(c->poison(), nullptr);
}

TEST_F(channel_more, statistics_count_what_passed_and_what_waits) {
    open(2);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    EXPECT_EQ(try_send(*a, 2), outcome::ok);
    EXPECT_EQ(try_recv(*b), got(1));
    channel::statistics now = c->look();
    EXPECT_EQ(now.sent, 2U);
    EXPECT_EQ(now.received, 1U);
    EXPECT_EQ(now.buffered, 1U);
    EXPECT_EQ(try_recv(*b), got(2));
    {
        const std::jthread receiver([this] { EXPECT_EQ(recv(*b), got(3)); });
        wait_parked_receivers(*c, 1);
        EXPECT_EQ(c->look().waiting_receivers, 1U);
        EXPECT_EQ(try_send(*a, 3), outcome::ok); // handed over
    }
    now = c->look();
    EXPECT_EQ(now.sent, 3U);
    EXPECT_EQ(now.received, 3U);
    EXPECT_EQ(try_send(*a, 4), outcome::ok);
    EXPECT_EQ(c->poison(end::send, *a, "why"), outcome::ok);
    now = c->look();
    EXPECT_EQ(now.dropped, 1U);
    EXPECT_EQ(now.sent, now.received + now.dropped + now.buffered);
}

TEST_F(channel_more, many_are_sent_as_far_as_there_is_room) {
    open(5);
    std::array<message, 8> batch;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        batch[i] = numbered(i);
    }
    std::size_t count = 1;
    EXPECT_EQ(c->try_send_many(*a, {}, count), outcome::ok);
    EXPECT_EQ(count, 0U);
    EXPECT_EQ(c->try_send_many(*a, batch, count), outcome::would_block);
    EXPECT_EQ(count, 5U);
    EXPECT_TRUE(batch[4].empty());
    EXPECT_EQ(number_of(batch[5]), 5U);
    std::array<message, 3> room;
    EXPECT_EQ(c->try_recv_many(*b, room, count), outcome::ok);
    EXPECT_EQ(count, 3U);
    EXPECT_EQ(number_of(room[2]), 2U);
    std::array<message, 9> rest;
    EXPECT_EQ(c->try_recv_many(*b, rest, count), outcome::ok);
    EXPECT_EQ(count, 2U);
    EXPECT_EQ(c->try_recv_many(*b, rest, count), outcome::would_block);
    EXPECT_EQ(count, 0U);
    c->close(end::recv, *b);
    EXPECT_EQ(c->try_send_many(*a, std::span(batch).subspan(5), count), outcome::closed);
    EXPECT_EQ(count, 0U);
}

TEST_F(channel_more, many_received_let_in_senders_that_wait) {
    open(1);
    ASSERT_EQ(try_send(*a, 0), outcome::ok);
    const std::jthread sender([this] { EXPECT_EQ(send(*a, 1), outcome::ok); });
    wait_parked_senders(*c, 1);
    std::array<message, 4> room;
    std::size_t count = 0;
    EXPECT_EQ(c->try_recv_many(*b, room, count), outcome::ok);
    EXPECT_EQ(count, 2U);
    EXPECT_EQ(number_of(room[1]), 1U);
}

TEST_F(channel_more, many_sent_to_a_waiting_receiver_keep_their_order) {
    open(std::nullopt);
    const std::jthread receiver([this] {
        for (std::uint64_t n = 0; n < 4; ++n) {
            EXPECT_EQ(recv(*b), got(n));
        }
    });
    wait_parked_receivers(*c, 1);
    std::array<message, 4> batch;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        batch[i] = numbered(i);
    }
    std::size_t count = 0;
    EXPECT_EQ(c->try_send_many(*a, batch, count), outcome::ok);
    EXPECT_EQ(count, 4U);
}

TEST_F(channel_more, watch_of_a_buffered_channel_follows_the_buffer) {
    open(1);
    const int in = c->watch(end::recv, *b);
    const int out = c->watch(end::send, *a);
    EXPECT_FALSE(readable(in));
    EXPECT_TRUE(readable(out));
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    EXPECT_TRUE(readable(in));
    EXPECT_FALSE(readable(out));
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_FALSE(readable(in));
    EXPECT_TRUE(readable(out));
    c->close(end::send, *a);
    EXPECT_TRUE(readable(in)); // a recv would raise at once
}

TEST_F(channel_more, watch_of_a_rendezvous_follows_who_waits) {
    const int in = c->watch(end::recv, *b);
    const int out = c->watch(end::send, *a);
    EXPECT_FALSE(readable(in));
    EXPECT_FALSE(readable(out));
    {
        const std::jthread sender([this] { EXPECT_EQ(send(*a, 1), outcome::ok); });
        wait_parked_senders(*c, 1);
        while (!readable(in)) {
            std::this_thread::yield();
        }
        EXPECT_EQ(recv(*b), got(1));
    }
    EXPECT_FALSE(readable(in));
    EXPECT_EQ(recv(*b, in_microseconds(100)), ended(outcome::timed_out));
    EXPECT_FALSE(readable(out));
}

TEST_F(channel_more, watch_of_a_rendezvous_follows_selects_that_wait) {
    const int in = c->watch(end::recv, *b);
    std::jthread selecting([this] {
        message m = numbered(1);
        wait_site site;
        spin_budget spinning;
        const select_case only{c.get(), end::send, &m};
        EXPECT_EQ(select(*a, {&only, 1}, never_expected(), site, spinning).how, outcome::ok);
    });
    const futex::deadline late = in_microseconds(60'000'000);
    while (!readable(in) && futex::now() < *late) {
        std::this_thread::yield();
    }
    EXPECT_TRUE(readable(in)) << "a loop that watches it would never receive";
    EXPECT_EQ(recv(*b), got(1));
    selecting.join();
    EXPECT_FALSE(readable(in));
}

TEST_F(channel_more, watch_follows_many_at_once) {
    open(3);
    const int in = c->watch(end::recv, *b);
    const int out = c->watch(end::send, *a);
    std::array<message, 3> cargo = {numbered(1), numbered(2), numbered(3)};
    std::size_t count = 0;
    EXPECT_EQ(c->try_send_many(*a, cargo, count), outcome::ok);
    EXPECT_TRUE(readable(in));
    EXPECT_FALSE(readable(out)) << "it is full";
    std::array<message, 3> room;
    EXPECT_EQ(c->try_recv_many(*b, room, count), outcome::ok);
    EXPECT_EQ(count, 3U);
    EXPECT_FALSE(readable(in)) << "it is empty";
    EXPECT_TRUE(readable(out));
}

TEST_F(channel_more, watch_ends_with_the_last_holder) {
    const int in = c->watch(end::recv, *b);
    c->add_holder(end::recv, *b);
    c->drop_holder(end::recv, *b);
    EXPECT_EQ(c->watch(end::recv, *b), in);
    c->drop_holder(end::recv, *b);
    pollfd asked{in, POLLIN, 0};
    poll(&asked, 1, 0);
    EXPECT_NE(asked.revents & POLLNVAL, 0);
}

} // namespace
} // namespace isthmus::core::test

#include "channel_fixture.hpp"

#include <algorithm>
#include <vector>

namespace isthmus::core::test {
namespace {

using channel_ops = ends;

TEST_F(channel_ops, ids_are_never_reused_and_found) {
    const channel_id id = c->id();
    EXPECT_GE(id, 1U);
    EXPECT_EQ(channel::all().find(id), c);
    open(1);
    EXPECT_GT(c->id(), id);
    EXPECT_EQ(channel::all().find(id), nullptr);
    const auto all = channel::all().live();
    EXPECT_NE(std::ranges::find(all, c), all.end());
}

TEST_F(channel_ops, unbounded_buffers_in_order) {
    open(std::nullopt);
    constexpr std::uint64_t n = 1000;
    for (std::uint64_t i = 0; i < n; ++i) {
        ASSERT_EQ(i % 2 != 0 ? send(*a, i) : try_send(*a, i), outcome::ok);
    }
    EXPECT_EQ(c->size(), n);
    for (std::uint64_t i = 0; i < n; ++i) {
        ASSERT_EQ(i % 3 != 0 ? recv(*b) : try_recv(*b), got(i));
    }
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
    EXPECT_EQ(c->size(), 0U);
}

TEST_F(channel_ops, bounded_refuses_when_full) {
    open(3);
    for (int round = 0; round < 100; ++round) {
        for (std::uint64_t i = 0; i < 3; ++i) {
            ASSERT_EQ(try_send(*a, i), outcome::ok);
        }
        ASSERT_EQ(try_send(*a, 3), outcome::would_block);
        ASSERT_EQ(send(*a, 3, in_microseconds(0)), outcome::timed_out);
        ASSERT_EQ(try_recv(*b), got(0));
        ASSERT_EQ(try_send(*a, 3), outcome::ok);
        for (std::uint64_t i = 1; i < 4; ++i) {
            ASSERT_EQ(try_recv(*b), got(i));
        }
    }
}

TEST_F(channel_ops, bounded_admits_parked_senders_in_order) {
    open(1);
    ASSERT_EQ(try_send(*a, 0), outcome::ok);
    std::vector<std::thread> senders;
    for (std::uint32_t i = 1; i <= 4; ++i) {
        senders.emplace_back([this, i] { EXPECT_EQ(send(*a, i), outcome::ok); });
        wait_parked_senders(*c, i);
    }
    EXPECT_EQ(try_send(*a, 9), outcome::would_block);
    EXPECT_EQ(try_recv(*b), got(0));
    EXPECT_EQ(c->parked_senders(), 3U);               // one was let in at once,
    EXPECT_EQ(try_send(*a, 9), outcome::would_block); // and nobody gets in ahead of the others
    for (std::uint64_t i = 1; i <= 4; ++i) {
        EXPECT_EQ(try_recv(*b), got(i));
    }
    for (std::thread& t : senders) {
        t.join();
    }
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
}

TEST_F(channel_ops, every_take_from_a_batch_admits_a_sender) {
    open(2);
    for (std::uint64_t i = 0; i < 2; ++i) {
        ASSERT_EQ(try_send(*a, i), outcome::ok);
    }
    std::vector<std::thread> senders;
    for (std::uint32_t i = 1; i <= 3; ++i) {
        senders.emplace_back([this, i] { EXPECT_EQ(send(*a, i + 1), outcome::ok); });
        wait_parked_senders(*c, i);
    }
    for (std::uint32_t i = 0; i < 5; ++i) {
        EXPECT_EQ(try_recv(*b), got(i));
        EXPECT_EQ(c->parked_senders(), i < 3 ? 2 - i : 0);
    }
    for (std::thread& t : senders) {
        t.join();
    }
}

TEST_F(channel_ops, parked_receivers_are_served_in_order) {
    open(std::nullopt);
    std::vector<std::thread> receivers;
    for (std::uint32_t i = 1; i <= 4; ++i) {
        receivers.emplace_back([this, i] { EXPECT_EQ(recv(*b), got(i)); });
        wait_parked_receivers(*c, i);
    }
    for (std::uint64_t i = 1; i <= 4; ++i) {
        EXPECT_EQ(try_send(*a, i), outcome::ok);
    }
    for (std::thread& t : receivers) {
        t.join();
    }
    EXPECT_EQ(c->size(), 0U);
}

TEST_F(channel_ops, rendezvous_needs_both_sides) {
    EXPECT_EQ(try_send(*a, 1), outcome::would_block);
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
    EXPECT_EQ(send(*a, 1, in_microseconds(100)), outcome::timed_out);
    EXPECT_EQ(recv(*b, in_microseconds(100)), ended(outcome::timed_out));
    EXPECT_EQ(c->parked_receivers() + c->parked_senders(), 0U);
}

TEST_F(channel_ops, rendezvous_send_returns_only_after_the_take) {
    std::atomic<bool> taken{false};
    std::thread sender([&] {
        EXPECT_EQ(send(*a, 1), outcome::ok);
        EXPECT_TRUE(taken);
    });
    wait_parked_senders(*c, 1);
    taken = true;
    EXPECT_EQ(try_recv(*b), got(1));
    sender.join();
}

TEST_F(channel_ops, rendezvous_try_send_reaches_a_parked_receiver) {
    std::thread receiver([&] { EXPECT_EQ(recv(*b), got(4)); });
    wait_parked_receivers(*c, 1);
    EXPECT_EQ(try_send(*a, 4), outcome::ok);
    EXPECT_EQ(try_send(*a, 5), outcome::would_block);
    receiver.join();
}

TEST_F(channel_ops, recv_drops_what_out_held) {
    std::atomic<int> alive{0};
    message out = traced(alive);
    EXPECT_EQ(c->try_recv(*b, out), outcome::would_block);
    EXPECT_TRUE(out.empty());
    EXPECT_EQ(alive, 0);
}

TEST_F(channel_ops, undelivered_messages_are_destroyed_with_the_channel) {
    open(std::nullopt);
    std::atomic<int> alive{0};
    for (int i = 0; i < 100; ++i) {
        message m = traced(alive);
        ASSERT_EQ(c->try_send(*a, m), outcome::ok);
    }
    message out;
    ASSERT_EQ(c->try_recv(*b, out), outcome::ok);
    EXPECT_EQ(alive, 100);
    c.reset();
    EXPECT_EQ(alive, 1);
    out.reset();
    EXPECT_EQ(alive, 0);
}

TEST_F(channel_ops, party_close_wakes_both_kinds_of_waits_and_gives_messages_back) {
    std::thread sender([&] { EXPECT_EQ(send(*a, 1), outcome::party_closing); });
    wait_parked_senders(*c, 1);
    a->begin_close();
    EXPECT_TRUE(a->wait_idle(never_expected()));
    sender.join();
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block)); // what it offered was taken back
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::party_closing)); });
    wait_parked_receivers(*c, 1);
    b->begin_close();
    receiver.join();
    EXPECT_EQ(c->parked_receivers() + c->parked_senders(), 0U);
    EXPECT_EQ(recv(*b), ended(outcome::party_closing)); // a wait that would start now
}

} // namespace
} // namespace isthmus::core::test

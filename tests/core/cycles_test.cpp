/// Channels and queues that only their own messages refer to are collected; nothing else is.
#include "channel_fixture.hpp"

#include "core/cycles.hpp"
#include "core/queue.hpp"

#include <array>

namespace isthmus::core::test {
namespace {

class cycles : public ::testing::Test {
  protected:
    /// A message with an end of `c`, and a tracer.
    message carrying(const std::shared_ptr<conduit>& c, end which) {
        auto body = std::make_unique<parcel>();
        body->attachments.push_back(std::make_unique<travelling_end>(c, which));
        body->attachments.push_back(std::make_unique<tracer>(alive));
        return message(9, std::move(body));
    }
    std::shared_ptr<channel> held_channel() {
        auto made = channel::create(std::nullopt);
        made->add_holder(end::send, *a);
        made->add_holder(end::recv, *a);
        return made;
    }
    void drop(std::shared_ptr<channel> c) {
        c->drop_holder(end::send, *a);
        c->drop_holder(end::recv, *a);
    }
    void send(conduit& over, const std::shared_ptr<conduit>& carried, end which) {
        message m = carrying(carried, which);
        ASSERT_EQ(over.attempt(end::send, *a, m), outcome::ok);
    }

    std::atomic<int> alive{0};
    std::shared_ptr<party> a = party::create();
};

TEST_F(cycles, channel_with_its_own_ends_is_collected) {
    auto c = held_channel();
    const std::weak_ptr<channel> seen = c;
    send(*c, c, end::recv);
    send(*c, c, end::send);
    EXPECT_EQ(alive, 2);
    drop(std::move(c));
    EXPECT_EQ(alive, 0);
    EXPECT_TRUE(seen.expired());
}

TEST_F(cycles, two_channels_with_each_others_ends_are_collected) {
    auto c = held_channel();
    auto d = held_channel();
    send(*c, d, end::recv);
    send(*d, c, end::recv);
    drop(std::move(c));
    EXPECT_EQ(alive, 2); // d is held, and leads to c
    drop(std::move(d));
    EXPECT_EQ(alive, 0);
}

TEST_F(cycles, what_hangs_on_a_collected_channel_goes_with_it) {
    auto c = held_channel();
    auto leaf = held_channel();
    message m = traced(alive);
    ASSERT_EQ(leaf->try_send(*a, m), outcome::ok);
    send(*c, c, end::recv);
    send(*c, leaf, end::recv);
    drop(std::move(leaf));
    EXPECT_EQ(alive, 3);
    drop(std::move(c));
    EXPECT_EQ(alive, 0);
}

TEST_F(cycles, an_end_outside_of_all_buffers_keeps_its_channel) {
    auto c = held_channel();
    send(*c, c, end::send);
    message outside = carrying(c, end::recv);
    drop(std::move(c));
    collect_cycles();
    EXPECT_EQ(alive, 2);
    outside.reset();
    collect_cycles(); // the fall of the last outside claim makes it suspect; now and then that waits
    EXPECT_EQ(alive, 0);
}

TEST_F(cycles, what_only_leads_on_from_something_alive_is_alive) {
    std::array<std::shared_ptr<channel>, 4> chain;
    for (auto& each : chain) {
        each = held_channel();
    }
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
        send(*chain[i], chain[i + 1], end::recv);
    }
    message outside = carrying(chain[0], end::recv); // nobody holds it either: all four are suspects
    for (auto& each : chain) {
        drop(std::move(each));
    }
    collect_cycles();
    EXPECT_EQ(alive, 4);
    outside.reset();
    collect_cycles();
    EXPECT_EQ(alive, 0);
}

TEST_F(cycles, a_held_channel_keeps_what_lies_in_it) {
    auto c = held_channel();
    auto d = held_channel();
    send(*d, d, end::recv);
    send(*d, d, end::send);
    send(*c, d, end::recv);
    drop(std::move(d));
    collect_cycles();
    EXPECT_EQ(alive, 3);
    message m;
    ASSERT_EQ(c->try_recv(*a, m), outcome::ok);
    m.reset();
    collect_cycles();
    EXPECT_EQ(alive, 0);
    drop(std::move(c));
}

TEST_F(cycles, queue_in_itself_is_collected) {
    auto q = queue::create(0, unbound::replace);
    q->add_holder(end::recv, *a);
    send(*q, q, end::recv);
    auto c = held_channel();
    send(*q, c, end::send);
    send(*c, q, end::recv);
    drop(std::move(c));
    EXPECT_EQ(alive, 3);
    q->drop_holder(end::recv, *a);
    q.reset();
    EXPECT_EQ(alive, 0);
}

TEST_F(cycles, many_suspects_alive_do_not_hide_garbage_for_ever) {
    constexpr int count = 50;
    auto hub = held_channel();
    for (int i = 0; i < count; ++i) {
        auto c = held_channel();
        send(*hub, c, end::recv);
        drop(std::move(c)); // alive: it lies in the hub
    }
    auto garbage = held_channel();
    send(*garbage, garbage, end::recv);
    drop(std::move(garbage));
    collect_cycles();
    EXPECT_EQ(alive, count);
    drop(std::move(hub));
    EXPECT_EQ(alive, 0);
}

/// Ends wander between threads over channels that are dropped all the time: nothing alive is collected (each
/// received end still works), nothing dead is left.
TEST_F(cycles, collecting_beside_traffic_loses_nothing) {
    constexpr int rounds = 2'000;
    auto hub = held_channel();
    std::jthread maker([&] {
        const auto me = party::create();
        hub->add_holder(end::send, *me);
        for (int i = 0; i < rounds; ++i) {
            auto c = channel::create(std::nullopt);
            c->add_holder(end::send, *me);
            message inner = carrying(c, end::send); // a cycle, unless it is received
            ASSERT_EQ(c->try_send(*me, inner), outcome::ok);
            message outer = carrying(c, end::recv);
            ASSERT_EQ(hub->try_send(*me, outer), outcome::ok);
            c->drop_holder(end::send, *me);
        }
        hub->drop_holder(end::send, *me);
    });
    for (int i = 0; i < rounds;) {
        message m;
        if (hub->try_recv(*a, m) != outcome::ok) {
            std::this_thread::yield();
            continue;
        }
        ++i;
        auto* const got = dynamic_cast<channel*>(m.body()->attachments.front()->carries());
        ASSERT_NE(got, nullptr);
        if (i % 2 == 0) {
            continue; // dropped with what it carries
        }
        const std::shared_ptr<conduit> keep = got->shared_from_this();
        got->add_holder(end::recv, *a);
        m.reset();
        message inner;
        ASSERT_EQ(got->try_recv(*a, inner), outcome::ok);
        inner.reset();
        got->drop_holder(end::recv, *a);
    }
    maker.join();
    collect_cycles();
    EXPECT_EQ(alive, 0);
    drop(std::move(hub));
}

} // namespace
} // namespace isthmus::core::test

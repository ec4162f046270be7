/// Queues of PEP 734: order, room, shutdown, and what becomes of a dead party's messages.
#include "channel_fixture.hpp"

#include "core/queue.hpp"

#include <poll.h>

namespace isthmus::core::test {
namespace {

class queues : public ::testing::Test {
  protected:
    outcome put(std::uint64_t n, party& by, unbound how = unbound::replace) {
        message m = numbered(n);
        m.set_if_unbound(how);
        return q->attempt(end::send, by, m);
    }
    message get(outcome expected = outcome::ok) {
        message m;
        EXPECT_EQ(q->attempt(end::recv, *b, m), expected);
        return m;
    }
    /// A thread that waits in put or get until it is done; joined at the latest by the destructor.
    template <typename Body> std::jthread parked_thread(std::size_t putters, std::size_t getters, Body body) {
        std::jthread made(body);
        while (q->parked_putters() != putters || q->parked_getters() != getters) {
            std::this_thread::yield();
        }
        return made;
    }

    std::shared_ptr<party> a = party::create();
    std::shared_ptr<party> b = party::create();
    std::shared_ptr<queue> q = queue::create(0, unbound::replace);
};

TEST_F(queues, keep_order_and_count) {
    for (std::uint64_t n = 0; n < 100; ++n) {
        EXPECT_EQ(put(n, *a), outcome::ok);
    }
    EXPECT_EQ(q->size(), 100U);
    for (std::uint64_t n = 0; n < 100; ++n) {
        EXPECT_EQ(number_of(get()), n);
    }
    get(outcome::would_block);
}

TEST_F(queues, are_found_by_id_while_somebody_refers_to_them) {
    const queue_id id = q->id();
    EXPECT_EQ(queue::all().find(id), q);
    q.reset();
    EXPECT_EQ(queue::all().find(id), nullptr);
}

TEST_F(queues, full_one_makes_putters_wait_in_order) {
    q = queue::create(1, unbound::replace);
    EXPECT_EQ(put(0, *a), outcome::ok);
    EXPECT_EQ(put(9, *a), outcome::would_block);
    const auto putter = [this](std::uint64_t n) {
        return [this, n] {
            message m = numbered(n);
            wait_site site;
            EXPECT_EQ(q->put(*a, m, never_expected(), site), outcome::ok);
            EXPECT_TRUE(m.empty());
        };
    };
    const std::jthread first = parked_thread(1, 0, putter(1));
    const std::jthread second = parked_thread(2, 0, putter(2));
    EXPECT_EQ(number_of(get()), 0U);
    EXPECT_EQ(q->parked_putters(), 1U) << "what was taken out let the first one in";
    EXPECT_EQ(q->size(), 1U);
    EXPECT_EQ(put(9, *a), outcome::would_block); // the room is for the one that waited first
    EXPECT_EQ(number_of(get()), 1U);
    EXPECT_EQ(number_of(get()), 2U);
}

TEST_F(queues, a_waiting_getter_gets_what_is_put) {
    const std::jthread getter = parked_thread(0, 1, [this] {
        message m;
        wait_site site;
        EXPECT_EQ(q->get(*b, m, never_expected(), site), outcome::ok);
        EXPECT_EQ(number_of(m), 7U);
    });
    EXPECT_EQ(put(7, *a), outcome::ok);
    EXPECT_EQ(q->size(), 0U);
}

TEST_F(queues, waits_end_at_their_deadline_and_leave_nothing_parked) {
    q = queue::create(1, unbound::replace);
    message m;
    wait_site site;
    EXPECT_EQ(q->get(*b, m, in_microseconds(500), site), outcome::timed_out);
    EXPECT_EQ(put(0, *a), outcome::ok);
    m = numbered(1);
    EXPECT_EQ(q->put(*a, m, in_microseconds(500), site), outcome::timed_out);
    EXPECT_EQ(number_of(m), 1U); // still the caller's
    EXPECT_EQ(q->parked_getters() + q->parked_putters(), 0U);
}

TEST_F(queues, an_idle_one_spoils_no_other_ones_spinning) {
    const std::shared_ptr<queue> busy = queue::create(0, unbound::replace);
    const futex::nanoseconds before = busy->spins(end::recv);
    message m;
    wait_site site;
    EXPECT_EQ(q->get(*b, m, in_microseconds(500), site), outcome::timed_out);
    EXPECT_LT(q->spins(end::recv), before) << "a wait in vain makes the next one of its kind spin less";
    EXPECT_EQ(q->spins(end::send), before);
    EXPECT_EQ(busy->spins(end::recv), before);
}

TEST_F(queues, a_closing_party_waits_no_longer) {
    const std::jthread getter = parked_thread(0, 1, [this] {
        message m;
        wait_site site;
        EXPECT_EQ(q->get(*b, m, never_expected(), site), outcome::party_closing);
    });
    b->begin_close();
}

TEST_F(queues, dead_partys_messages_become_what_they_said) {
    std::atomic<int> alive{0};
    const auto put_traced = [&](unbound how) {
        message m = traced(alive);
        m.set_if_unbound(how);
        EXPECT_EQ(q->attempt(end::send, *a, m), outcome::ok);
    };
    put_traced(unbound::replace);
    EXPECT_EQ(put(1, *b), outcome::ok);
    put_traced(unbound::remove);
    put_traced(unbound::error);
    EXPECT_EQ(put(2, *b), outcome::ok);
    q->party_died(*a);
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(q->size(), 4U);
    message m = get();
    EXPECT_TRUE(m.is_marker());
    EXPECT_EQ(m.if_unbound(), unbound::replace);
    EXPECT_EQ(number_of(get()), 1U);
    m = get();
    EXPECT_TRUE(m.is_marker());
    EXPECT_EQ(m.if_unbound(), unbound::error);
    EXPECT_EQ(number_of(get()), 2U);
    get(outcome::would_block);
}

TEST_F(queues, many_messages_of_a_dead_party_leave_and_make_room) {
    constexpr std::uint64_t many = 1'000;
    q = queue::create(static_cast<std::int64_t>(many), unbound::remove);
    for (std::uint64_t n = 0; n < many; ++n) {
        EXPECT_EQ(put(n, n % 2 == 0 ? *a : *b, unbound::remove), outcome::ok);
    }
    const std::jthread putter = parked_thread(1, 0, [this] {
        message m = numbered(many);
        wait_site site;
        EXPECT_EQ(q->put(*b, m, never_expected(), site), outcome::ok);
    });
    q->party_died(*a);
    for (std::uint64_t n = 1; n < many; n += 2) {
        EXPECT_EQ(number_of(get()), n);
    }
    EXPECT_EQ(number_of(get()), many);
}

TEST_F(queues, room_that_a_dead_party_leaves_goes_to_who_waits_for_it) {
    q = queue::create(1, unbound::remove);
    EXPECT_EQ(put(1, *a, unbound::remove), outcome::ok);
    const std::jthread putter = parked_thread(1, 0, [this] {
        message m = numbered(2);
        wait_site site;
        EXPECT_EQ(q->put(*b, m, never_expected(), site), outcome::ok);
    });
    q->party_died(*a);
    EXPECT_EQ(q->parked_putters(), 0U) << "nobody else may ever take something out";
    EXPECT_EQ(number_of(get()), 2U);
}

TEST_F(queues, shut_down_ends_puts_at_once_and_gets_when_empty) {
    EXPECT_EQ(put(1, *a), outcome::ok);
    q->shut_down(false);
    EXPECT_EQ(put(2, *a), outcome::closed);
    EXPECT_EQ(number_of(get()), 1U);
    get(outcome::closed);
    EXPECT_TRUE(q->is_shut_down());
}

TEST_F(queues, immediate_shut_down_drops_what_is_left) {
    std::atomic<int> alive{0};
    message m = traced(alive);
    EXPECT_EQ(q->attempt(end::send, *a, m), outcome::ok);
    q->shut_down(true);
    EXPECT_EQ(alive, 0);
    get(outcome::closed);
}

TEST_F(queues, shut_down_wakes_who_waits) {
    q = queue::create(1, unbound::replace);
    {
        const std::jthread getter = parked_thread(0, 1, [this] {
            message m;
            wait_site site;
            EXPECT_EQ(q->get(*b, m, never_expected(), site), outcome::closed);
        });
        q->shut_down(false);
    }
    q = queue::create(1, unbound::replace);
    EXPECT_EQ(put(0, *a), outcome::ok);
    const std::jthread putter = parked_thread(1, 0, [this] {
        message m = numbered(1);
        wait_site site;
        EXPECT_EQ(q->put(*a, m, never_expected(), site), outcome::closed);
        EXPECT_EQ(number_of(m), 1U);
    });
    q->shut_down(false);
}

bool readable(int descriptor) {
    pollfd asked{descriptor, POLLIN, 0};
    return poll(&asked, 1, 0) == 1;
}

TEST_F(queues, watch_is_readable_while_a_get_would_not_block) {
    q->add_holder(end::recv, *b);
    const int descriptor = q->watch(end::recv, *b);
    EXPECT_EQ(q->watch(end::recv, *b), descriptor);
    EXPECT_FALSE(readable(descriptor));
    EXPECT_EQ(put(1, *a), outcome::ok);
    EXPECT_EQ(put(2, *a, unbound::remove), outcome::ok);
    EXPECT_TRUE(readable(descriptor));
    get();
    EXPECT_TRUE(readable(descriptor));
    q->party_died(*a);
    EXPECT_FALSE(readable(descriptor));
    q->shut_down(false);
    EXPECT_TRUE(readable(descriptor));
    q->drop_holder(end::recv, *b);
}

} // namespace
} // namespace isthmus::core::test

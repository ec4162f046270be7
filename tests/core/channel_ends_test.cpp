/// Who is associated, who closes, who dies, and what those who wait see of it.
#include "channel_fixture.hpp"

#include <memory>
#include <tuple>
#include <vector>

namespace isthmus::core::test {
namespace {

using channel_ends = ends;

TEST_F(channel_ends, first_use_associates) {
    open(std::nullopt);
    EXPECT_TRUE(c->interpreters(end::send).empty());
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    EXPECT_EQ(try_send(*d, 2), outcome::ok);
    EXPECT_EQ(c->interpreters(end::send), (std::vector{a->id(), d->id()}));
    EXPECT_TRUE(c->interpreters(end::recv).empty());
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_EQ(c->interpreters(end::recv), std::vector{b->id()});
    EXPECT_TRUE(c->close(end::send, *a));
    EXPECT_EQ(c->interpreters(end::send), std::vector{d->id()});
}

TEST_F(channel_ends, own_end_closed_is_released_until_the_channel_is_closed) {
    open(std::nullopt);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    EXPECT_FALSE(c->is_closed(end::send, *a));
    EXPECT_TRUE(c->close(end::send, *a));
    EXPECT_FALSE(c->close(end::send, *a));
    EXPECT_TRUE(c->is_closed(end::send, *a));
    EXPECT_EQ(try_send(*a, 2), outcome::released);
    EXPECT_EQ(send(*a, 2), outcome::released);
    EXPECT_FALSE(c->is_closed());
    EXPECT_EQ(try_recv(*b), got(1)); // buffered before the close
    EXPECT_EQ(try_recv(*b), ended(outcome::closed));
    EXPECT_EQ(recv(*b), ended(outcome::closed));
    EXPECT_TRUE(c->close(end::recv, *b));
    EXPECT_TRUE(c->is_closed());
    EXPECT_EQ(try_send(*a, 2), outcome::closed);
    EXPECT_EQ(try_recv(*b), ended(outcome::closed));
    EXPECT_EQ(try_recv(*d), ended(outcome::closed));
    EXPECT_EQ(try_send(*d, 3), outcome::closed);
}

TEST_F(channel_ends, a_closed_recv_end_takes_nothing_though_something_is_there) {
    open(std::nullopt);
    c->add_holder(end::recv, *d);
    for (std::uint64_t i = 0; i < 4; ++i) {
        EXPECT_EQ(try_send(*a, i), outcome::ok);
    }
    EXPECT_EQ(try_recv(*b), got(0));
    EXPECT_EQ(try_recv(*b), got(1)); // from here on b is known without a look at the state
    EXPECT_TRUE(c->close(end::recv, *b));
    EXPECT_EQ(try_recv(*b), ended(outcome::released));
    EXPECT_EQ(recv(*b), ended(outcome::released));
    EXPECT_EQ(try_recv(*d), got(2));
}

TEST_F(channel_ends, another_open_holder_keeps_receivers_waiting) {
    open(std::nullopt);
    c->add_holder(end::send, *d);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    c->close(end::send, *a);
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block)); // d could send
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::closed)); });
    wait_parked_receivers(*c, 1);
    c->close(end::send, *d);
    receiver.join();
}

TEST_F(channel_ends, the_receivers_own_send_end_does_not_count) {
    open(std::nullopt);
    c->add_holder(end::send, *b);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    c->close(end::send, *a);
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_EQ(try_recv(*b), ended(outcome::closed));
    c->add_holder(end::recv, *d);
    EXPECT_EQ(try_recv(*d), ended(outcome::would_block)); // but for d, b's does
}

TEST_F(channel_ends, one_in_flight_counts) {
    open(std::nullopt);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    c->add_in_flight(end::send);
    c->close(end::send, *a);
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::closed)); });
    wait_parked_receivers(*c, 1);
    c->drop_in_flight(end::send);
    receiver.join();
}

TEST_F(channel_ends, an_unused_end_that_is_closed_counts_as_used) {
    c->close(end::send, *a);
    EXPECT_EQ(try_recv(*b), ended(outcome::closed));
}

TEST_F(channel_ends, losing_the_last_reference_only_drops_the_association) {
    open(std::nullopt);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    c->add_holder(end::send, *a);
    c->drop_holder(end::send, *a);
    EXPECT_EQ(c->interpreters(end::send), std::vector{a->id()});
    c->drop_holder(end::send, *a);
    EXPECT_TRUE(c->interpreters(end::send).empty());
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::closed)); });
    wait_parked_receivers(*c, 1);
    c->party_died(*a); // now it did end
    receiver.join();
}

TEST_F(channel_ends, a_closing_party_that_loses_its_objects_dies_of_it) {
    EXPECT_EQ(try_send(*a, 1), outcome::would_block);
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::closed)); });
    wait_parked_receivers(*c, 1);
    a->begin_close();
    c->drop_holder(end::send, *a);
    receiver.join();
    party_died_everywhere(*a);
    c->drop_holder(end::send, *a); // a late free of an object that had been reported dead: nothing happens
    EXPECT_EQ(try_recv(*b), ended(outcome::closed));
}

TEST_F(channel_ends, sends_mirror_it) {
    open(2);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    EXPECT_EQ(try_recv(*b), got(1));
    EXPECT_EQ(try_send(*a, 2), outcome::ok);
    EXPECT_EQ(try_send(*a, 3), outcome::ok);
    std::thread sender([&] { EXPECT_EQ(send(*a, 4), outcome::closed); });
    wait_parked_senders(*c, 1);
    c->close(end::recv, *b);
    sender.join();
    EXPECT_EQ(try_send(*a, 5), outcome::closed);
    EXPECT_EQ(c->size(), 0U); // nobody could ever receive it
}

TEST_F(channel_ends, what_is_buffered_waits_for_an_open_receiver) {
    open(std::nullopt);
    c->add_holder(end::recv, *d);
    for (std::uint64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(try_send(*a, i), outcome::ok);
    }
    EXPECT_EQ(try_recv(*b), got(0));
    c->close(end::send, *a);
    c->close(end::recv, *b);
    EXPECT_FALSE(c->is_closed());
    EXPECT_EQ(try_recv(*d), got(1));
    EXPECT_EQ(try_recv(*d), got(2));
    EXPECT_EQ(try_recv(*d), ended(outcome::closed));
    c->close(end::recv, *d);
    EXPECT_TRUE(c->is_closed());
}

TEST_F(channel_ends, unused_ends_of_one_party_do_not_keep_a_finished_channel_open) {
    open(std::nullopt);
    c->add_holder(end::send, *d);
    c->add_holder(end::recv, *d);
    EXPECT_EQ(try_send(*a, 1), outcome::ok);
    c->close(end::send, *a);
    c->close(end::recv, *b);
    EXPECT_FALSE(c->is_closed()); // d can still receive what a sent
    EXPECT_EQ(try_recv(*d), got(1));
    EXPECT_EQ(try_recv(*d), ended(outcome::closed));
    EXPECT_TRUE(c->close(end::recv, *d));
    EXPECT_TRUE(c->is_closed());
    EXPECT_EQ(try_send(*d, 1), outcome::closed);
}

TEST_F(channel_ends, undeliverable_messages_are_dropped_when_the_last_receiver_ends) {
    open(std::nullopt);
    std::atomic<int> alive{0};
    message m = traced(alive);
    EXPECT_EQ(c->try_send(*a, m), outcome::ok);
    b->begin_close();
    EXPECT_EQ(alive, 1);
    party_died_everywhere(*b);
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(try_send(*a, 1), outcome::closed);
}

/// An end of a channel inside a message.
struct end_in_flight : attachment {
    end_in_flight(std::shared_ptr<channel> of, end which) : of_(std::move(of)), which_(which) {
        of_->add_in_flight(which_);
    }
    ~end_in_flight() override { of_->drop_in_flight(which_); }

  private:
    std::shared_ptr<channel> of_;
    end which_;
};

TEST_F(channel_ends, a_channel_that_carries_its_own_end_goes_when_nobody_holds_it) {
    open(std::nullopt);
    auto body = std::make_unique<parcel>();
    body->attachments.push_back(std::make_unique<end_in_flight>(c, end::send));
    message m(1, std::move(body));
    EXPECT_EQ(c->try_send(*a, m), outcome::ok);
    const std::weak_ptr<channel> gone = c;
    c->close(end::send, *a);
    c->close(end::recv, *b);
    c.reset();
    EXPECT_TRUE(gone.expired());
}

/// How a side can end while the other one waits.
enum class way_to_end { close, death, closing_drop };

class waits_for : public ends, public ::testing::WithParamInterface<std::tuple<way_to_end, bool>> {
  protected:
    void end_side(end which, party& who) {
        switch (std::get<0>(GetParam())) {
        case way_to_end::close:
            c->close(which, who);
            break;
        case way_to_end::death:
            c->party_died(who);
            break;
        case way_to_end::closing_drop:
            who.begin_close();
            c->drop_holder(which, who);
            break;
        }
    }
    [[nodiscard]] bool used() const { return std::get<1>(GetParam()); }
};

TEST_P(waits_for, a_receiver_wakes_when_the_sender_ends) {
    if (used()) {
        EXPECT_EQ(try_send(*a, 0), outcome::would_block);
    }
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::closed)); });
    wait_parked_receivers(*c, 1);
    end_side(end::send, *a);
    receiver.join();
    EXPECT_EQ(c->parked_receivers(), 0U);
}

TEST_P(waits_for, a_sender_wakes_when_the_receiver_ends) {
    if (used()) {
        EXPECT_EQ(try_recv(*b), ended(outcome::would_block));
    }
    std::thread sender([&] { EXPECT_EQ(send(*a, 1), outcome::closed); });
    wait_parked_senders(*c, 1);
    end_side(end::recv, *b);
    sender.join();
    EXPECT_EQ(c->parked_senders(), 0U);
}

TEST_P(waits_for, the_closers_own_threads_wake_too) {
    if (std::get<0>(GetParam()) != way_to_end::close) {
        return; // dying parties have no threads left
    }
    std::thread receiver([&] { EXPECT_EQ(recv(*b), ended(outcome::released)); });
    wait_parked_receivers(*c, 1);
    c->close(end::recv, *b);
    receiver.join();
    open(0);
    std::thread sender([&] { EXPECT_EQ(send(*a, 1), outcome::released); });
    wait_parked_senders(*c, 1);
    c->close(end::send, *a);
    sender.join();
}

TEST_P(waits_for, an_end_at_any_moment_loses_nothing) {
    // The other side ends while a rendezvous is under way: both see it happen, or neither does.
    for (int round = 0; round < 300; ++round) {
        a = party::create();
        b = party::create();
        open(0);
        const bool sender_ends = round % 2 == 0;
        std::atomic<int> ready{0};
        outcome sent{};
        received arrived{};
        std::thread sender([&] {
            for (++ready; ready < 3;) {
                std::this_thread::yield();
            }
            sent = send(*a, 1);
        });
        std::thread receiver([&] {
            for (++ready; ready < 3;) {
                std::this_thread::yield();
            }
            arrived = recv(*b);
        });
        for (++ready; ready < 3;) {
            std::this_thread::yield();
        }
        const std::shared_ptr<party> who = sender_ends ? a : b;
        std::thread& theirs = sender_ends ? sender : receiver;
        if (std::get<0>(GetParam()) != way_to_end::close) {
            who->begin_close(); // an interpreter's own threads leave before it dies
            theirs.join();
        }
        end_side(sender_ends ? end::send : end::recv, *who);
        for (std::thread* t : {&sender, &receiver}) {
            if (t->joinable()) {
                t->join();
            }
        }
        EXPECT_EQ(sent == outcome::ok, arrived == got(1)) << "round " << round;
    }
}

INSTANTIATE_TEST_SUITE_P(endings, waits_for,
                         ::testing::Combine(::testing::Values(way_to_end::close, way_to_end::death,
                                                              way_to_end::closing_drop),
                                            ::testing::Bool()));

} // namespace
} // namespace isthmus::core::test

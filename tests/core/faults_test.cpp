/// Every allocation and every system call of the core fails once, in each thing it does.
#include "faults.hpp"

#include "channel_fixture.hpp"
#include "view_fixture.hpp"

#include "core/cycles.hpp"
#include "core/descriptor.hpp"
#include "core/parking_lot.hpp"
#include "core/queue.hpp"
#include "core/select.hpp"

namespace isthmus::core::test {
namespace {

using faults::exhaust;

class every_call : public testing::Test {
  protected:
    void SetUp() override { started_memory(); }

    std::atomic<int> alive{0};
};

/// A channel both of whose ends are held; every exit lets go of them.
struct held_channel {
    std::shared_ptr<party> a = party::create();
    std::shared_ptr<party> b = party::create();
    std::shared_ptr<channel> c;
    bool sends = false;
    bool receives = false;

    explicit held_channel(std::optional<std::size_t> capacity) : c(channel::create(capacity)) {
        try {
            c->add_holder(end::send, *a);
            sends = true;
            c->add_holder(end::recv, *b);
            receives = true;
        } catch (...) {
            let_go();
            throw;
        }
    }
    ~held_channel() { let_go(); }
    void let_go() {
        if (sends) {
            c->drop_holder(end::send, *a);
        }
        if (receives) {
            c->drop_holder(end::recv, *b);
        }
    }
};

TEST_F(every_call, of_a_buffered_channel) {
    for (const std::optional<std::size_t> capacity :
         {std::optional<std::size_t>(1), std::optional<std::size_t>(40), std::optional<std::size_t>()}) {
        const std::size_t calls = exhaust([&] {
            held_channel on(capacity);
            std::size_t sent = 0;
            for (int i = 0; i < 40; ++i) {
                message m = traced(alive);
                const outcome how = on.c->try_send(*on.a, m);
                sent += how == outcome::ok ? 1 : 0;
                EXPECT_EQ(m.empty(), how == outcome::ok);
            }
            message out;
            while (on.c->try_recv(*on.b, out) == outcome::ok) {
                --sent;
            }
            EXPECT_EQ(sent, 0U);
        });
        EXPECT_GT(calls, 6U);
        EXPECT_EQ(alive, 0);
    }
}

TEST_F(every_call, of_messages_in_bulk_that_nobody_receives) {
    exhaust([&] {
        held_channel on(std::nullopt);
        std::vector<message> many(100);
        for (message& each : many) {
            each = traced(alive);
        }
        std::size_t sent = 0;
        const auto untaken = [&] {
            std::size_t count = 0;
            for (const message& each : many) {
                count += each.empty() ? 0 : 1;
            }
            return count;
        };
        try {
            EXPECT_EQ(on.c->try_send_many(*on.a, many, sent), outcome::ok);
        } catch (const std::bad_alloc&) {
            EXPECT_EQ(sent + untaken(), many.size());
            throw;
        }
        EXPECT_EQ(untaken(), 0U);
        std::array<message, 30> room;
        std::size_t received = 0;
        EXPECT_EQ(on.c->try_recv_many(*on.b, room, received), outcome::ok);
        EXPECT_EQ(received, room.size());
        EXPECT_EQ(on.c->poison(end::recv, *on.b, std::string(100, 'x')), outcome::ok);
    });
    EXPECT_EQ(alive, 0);
}

TEST_F(every_call, of_a_rendezvous) {
    exhaust([&] {
        held_channel on(0);
        std::thread receiver;
        {
            const faults::undisturbed own;
            receiver = std::thread([&] {
                message out;
                wait_site site;
                const outcome how = on.c->recv(*on.b, out, never_expected(), site);
                EXPECT_TRUE(how == outcome::ok || how == outcome::closed);
            });
            wait_parked_receivers(*on.c, 1);
        }
        const auto join = [&] {
            const faults::undisturbed own;
            on.c->close(end::send, *on.a);
            receiver.join();
        };
        try {
            message m = traced(alive);
            wait_site site;
            EXPECT_EQ(on.c->send(*on.a, m, never_expected(), site), outcome::ok);
        } catch (...) {
            join();
            throw;
        }
        join();
    });
    EXPECT_EQ(alive, 0);
}

TEST_F(every_call, of_a_select_of_many) {
    exhaust([&] {
        std::vector<std::unique_ptr<held_channel>> channels;
        std::vector<message> cargo(6);
        std::vector<select_case> cases;
        for (std::size_t i = 0; i < 6; ++i) {
            channels.push_back(std::make_unique<held_channel>(i < 3 ? 0 : 1));
            cases.push_back({channels[i]->c.get(), end::recv, &cargo[i]});
        }
        const std::shared_ptr<party> by = party::create();
        wait_site site;
        spin_budget spinning;
        EXPECT_EQ(select(*by, cases, in_microseconds(10), site, spinning).how, outcome::timed_out);
        for (const auto& each : channels) {
            EXPECT_EQ(each->c->parked_receivers(), 0U);
        }
        message m = traced(alive);
        EXPECT_EQ(channels[4]->c->try_send(*channels[4]->a, m), outcome::ok);
        const selected done = select(*by, cases, never_expected(), site, spinning);
        EXPECT_EQ(done.how, outcome::ok);
        EXPECT_EQ(done.index, 4U);
    });
    EXPECT_EQ(alive, 0);
}

TEST_F(every_call, of_a_queue) {
    exhaust([&] {
        const std::shared_ptr<party> a = party::create();
        const std::shared_ptr<queue> q = queue::create(0, unbound::remove);
        wait_site site;
        for (int i = 0; i < 50; ++i) {
            message m = traced(alive);
            EXPECT_EQ(q->put(*a, m, futex::now(), site), outcome::ok);
        }
        for (int i = 0; i < 20; ++i) {
            message out;
            EXPECT_EQ(q->get(*a, out, futex::now(), site), outcome::ok);
        }
        q->party_died(*a);
        q->shut_down(true);
    });
    EXPECT_EQ(alive, 0);
}

TEST_F(every_call, of_watching_an_end) {
    const std::size_t calls = exhaust([] {
        held_channel on(2);
        EXPECT_GE(on.c->watch(end::recv, *on.b), 0);
        EXPECT_GE(on.c->watch(end::send, *on.a), 0);
        message m = numbered(1);
        EXPECT_EQ(on.c->try_send(*on.a, m), outcome::ok);
    });
    EXPECT_GT(calls, 10U);
}

TEST_F(every_call, of_a_circle_of_channels) {
    exhaust([&] {
        {
            held_channel on(1);
            auto body = std::make_unique<parcel>();
            body->attachments.push_back(std::make_unique<tracer>(alive));
            body->attachments.push_back(std::make_unique<travelling_end>(on.c, end::recv));
            message m(9, std::move(body));
            EXPECT_EQ(on.c->try_send(*on.a, m), outcome::ok);
        }
        const faults::undisturbed own; // what a failure left uncollected is found the next time
        std::make_unique<held_channel>(1).reset();
        {
            held_channel other(1);
            message carrier(9, [&] {
                auto body = std::make_unique<parcel>();
                body->attachments.push_back(std::make_unique<travelling_end>(other.c, end::recv));
                return body;
            }());
            EXPECT_EQ(other.c->try_send(*other.a, carrier), outcome::ok);
        }
        collect_cycles();
    });
    EXPECT_EQ(alive, 0);
}

TEST_F(every_call, of_memory_of_slots) {
    const std::size_t calls = exhaust([] {
        actor owner;
        actor receiver;
        std::size_t made = 0;
        for (const std::size_t size : {std::size_t{70'000}, mebibyte, 5 * mebibyte}) {
            slot* const s = owner.make(size, 7);
            if (s == nullptr) {
                continue; // no room: the caller copies
            }
            ++made;
            EXPECT_EQ(first_difference(*s, owner.base(*s)), 0U);
            if (void* const twin = receiver.receive(owner.send(*s)); twin != nullptr) {
                EXPECT_EQ(first_difference(*s, twin), 0U);
                receiver.drop(twin);
            }
            owner.drain();
            owner.drop(*s);
        }
        EXPECT_GE(made, 2U);
    });
    EXPECT_GT(calls, 10U);
}

TEST_F(every_call, of_an_owner_that_ends_first) {
    exhaust([] {
        actor receiver;
        void* twin = nullptr;
        {
            actor owner;
            slot* const s = owner.make(mebibyte, 3);
            twin = s != nullptr ? receiver.receive(owner.send(*s)) : nullptr;
        }
        if (twin != nullptr) {
            EXPECT_EQ(first_difference(*memory().find(twin), twin), 0U);
            receiver.drop(twin);
        }
    });
}

TEST_F(every_call, of_shared_memory) {
    EXPECT_GE(exhaust([] {
                  const std::shared_ptr<shared_memory> made = shared_memory::create(3 * page_size);
                  EXPECT_EQ(*made->data(), std::byte{0});
                  EXPECT_EQ(shared_memory::containing(made->data() + page_size), made);
              }),
              2U);
}

TEST_F(every_call, of_waiting_at_an_address) {
    exhaust([] {
        const std::shared_ptr<party> by = party::create();
        std::uint32_t cell = 0;
        wait_site site;
        EXPECT_EQ(parking_lot::park_while(
                      &cell, [&] { return cell == 0; }, *by, in_microseconds(5), site),
                  outcome::timed_out);
        EXPECT_EQ(parking_lot::unpark(&cell, 1), 0U);
    });
}

TEST_F(every_call, of_an_interpreter_and_its_views) {
    exhaust([] {
        ledger book;
        int lent = 0;
        {
            int state = 0;
            const interpreter_ref owner = interpreters().attach(&state, 91, true, false, true);
            const interpreter_ref receiver = [&] {
                try {
                    return interpreters().attach(&book, 92, true, false, true);
                } catch (...) {
                    interpreters().gone(owner);
                    throw;
                }
            }();
            try {
                const loan_ref given = loan_ref::begin(std::make_unique<test_loan>(owner, book));
                lent = 1;
                view shown;
                shown.of = given;
                const auto seen = std::make_unique<received_view>(receiver, std::move(shown));
                EXPECT_EQ(seen->by(), receiver);
            } catch (const std::bad_alloc&) {
                EXPECT_TRUE(faults::fired);
            }
            run_errands(*owner);
            interpreters().gone(receiver);
            interpreters().gone(owner);
        }
        EXPECT_EQ(book.given_back, lent);
    });
}

TEST_F(every_call, of_a_helper) {
    exhaust([] {
        static helper serving;
        static std::atomic<int> rounds;
        const bool started = serving.start(
            [](void*) {
                rounds.fetch_add(1);
                rounds.notify_all();
                return true;
            },
            nullptr);
        EXPECT_EQ(started, !faults::fired);
        if (started) {
            const int before = rounds.load();
            serving.notify();
            rounds.wait(before);
        }
        serving.stop();
        EXPECT_FALSE(serving.running());
    });
}

TEST_F(every_call, of_a_descriptor) {
    EXPECT_EQ(exhaust([] { EXPECT_GE(descriptor::duplicate_of(1).number(), 0); }), 1U);
}

TEST_F(every_call, of_reserving_the_arena) {
    // In a process of its own each, since it is made once: smaller, or none and why, but never half of one.
    for (std::size_t n = 1, failed = 1; failed != 0; ++n) {
        const int status = in_child([n] {
            arena space;
            const std::size_t descriptors = faults::open_descriptors();
            faults::fired = false;
            faults::countdown = n;
            const bool reserved = space.reserve(small_sizes);
            faults::countdown = 0;
            EXPECT_EQ(faults::open_descriptors(), descriptors);
            if (reserved) {
                EXPECT_TRUE(space.map_owner(0, 0, 2 * page_size));
                *space.at(0, page_size) = std::byte{1};
            } else {
                EXPECT_STRNE(space.why(), "");
                EXPECT_FALSE(space.contains(&space));
            }
            if (!testing::Test::HasFailure()) {
                std::_Exit(faults::fired ? 42 : 43);
            }
        });
        ASSERT_TRUE(WIFEXITED(status));
        ASSERT_TRUE(WEXITSTATUS(status) == 42 || WEXITSTATUS(status) == 43) << "call " << n;
        failed = WEXITSTATUS(status) == 42 ? 1 : 0;
    }
}

} // namespace
} // namespace isthmus::core::test

/// Channels, queues and waits after a fork: the child never finds a lock held, a list half changed, or a
/// waiter that is not there.
#include "channel_fixture.hpp"
#include "memory_fixture.hpp"

#include "core/cycles.hpp"
#include "core/gate.hpp"
#include "core/queue.hpp"
#include "core/select.hpp"

#include <array>
#include <latch>
#include <poll.h>

namespace isthmus::core::test {
namespace {

class conduit_fork : public ::testing::Test {
  protected:
    static bool readable(int descriptor) {
        pollfd asked{descriptor, POLLIN, 0};
        return poll(&asked, 1, 0) == 1;
    }
    std::shared_ptr<channel> open(std::optional<std::size_t> capacity) {
        auto made = channel::create(capacity);
        made->add_holder(end::send, *a);
        made->add_holder(end::recv, *a);
        return made;
    }
    static message carrying(const std::shared_ptr<conduit>& c, end which) {
        auto body = std::make_unique<parcel>();
        body->attachments.push_back(std::make_unique<travelling_end>(c, which));
        return message(9, std::move(body));
    }

    std::shared_ptr<party> a = party::create();
};

/// All that another thread can be in the middle of: making, using, waiting, dropping, collecting.
void use_everything(channel& c, queue& q, party& by, std::uint64_t n) {
    message m = numbered(n);
    wait_site site;
    static_cast<void>(c.attempt(n % 2 == 0 ? end::send : end::recv, by, m));
    message other = numbered(n);
    static_cast<void>(q.attempt(n % 2 == 0 ? end::recv : end::send, by, other));
    message waited;
    spin_budget spinning;
    const std::array<select_case, 1> cases = {select_case{&q, end::recv, &waited}};
    static_cast<void>(select(by, cases, in_microseconds(20), site, spinning));
    const auto fresh = channel::create(std::nullopt);
    fresh->add_holder(end::recv, by);
    auto body = std::make_unique<parcel>();
    body->attachments.push_back(std::make_unique<travelling_end>(fresh, end::recv));
    message own(9, std::move(body));
    fresh->add_holder(end::send, by);
    static_cast<void>(fresh->try_send(by, own));
    fresh->drop_holder(end::send, by);
    fresh->drop_holder(end::recv, by);
}

TEST_F(conduit_fork, beside_threads_that_use_all_of_it) {
    constexpr int forks = 60;
    const auto c = open(4);
    const auto q = queue::create(4, unbound::replace);
    std::atomic<bool> stop{false};
    std::latch under_way(4);
    std::vector<std::jthread> beside;
    for (int i = 0; i < 3; ++i) {
        beside.emplace_back([&] {
            under_way.count_down();
            for (std::uint64_t n = 0; !stop.load(); ++n) {
                use_everything(*c, *q, *a, n);
            }
        });
    }
    under_way.arrive_and_wait();
    for (int i = 0; i < forks && !HasFailure(); ++i) {
        EXPECT_EQ(in_child([&] {
                      for (std::uint64_t n = 0; n < 20; ++n) {
                          use_everything(*c, *q, *a, n);
                      }
                      collect_cycles();
                      EXPECT_TRUE(a->wait_idle(in_microseconds(1'000)));
                      c->close(end::recv, *a);
                      q->shut_down(true);
                      a->begin_close();
                  }),
                  0)
            << "14: it hung";
    }
    stop.store(true);
}

TEST_F(conduit_fork, leaves_nobody_waiting_in_the_child) {
    const auto rendezvous = open(0);
    const auto q = queue::create(0, unbound::replace);
    const std::jthread receiver([&] {
        message m;
        wait_site site;
        EXPECT_EQ(rendezvous->recv(*a, m, never_expected(), site), outcome::ok);
        EXPECT_EQ(number_of(m), 1U);
    });
    const std::jthread getter([&] {
        message m;
        wait_site site;
        EXPECT_EQ(q->get(*a, m, never_expected(), site), outcome::ok);
        EXPECT_EQ(number_of(m), 2U);
    });
    wait_parked_receivers(*rendezvous, 1);
    while (q->parked_getters() != 1) {
        std::this_thread::yield();
    }
    EXPECT_EQ(in_child([&] {
                  EXPECT_EQ(rendezvous->parked_receivers(), 0U);
                  EXPECT_EQ(q->parked_getters(), 0U);
                  EXPECT_EQ(a->waiters(), 0U);
                  message m = numbered(7);
                  EXPECT_EQ(rendezvous->try_send(*a, m), outcome::would_block);
                  EXPECT_EQ(q->attempt(end::send, *a, m), outcome::ok);
                  EXPECT_EQ(q->size(), 1U) << "what is put lies there: nobody takes it";
                  a->begin_close(); // wakes none of the parent's
              }),
              0);
    message m = numbered(1);
    wait_site site;
    EXPECT_EQ(rendezvous->send(*a, m, never_expected(), site), outcome::ok);
    m = numbered(2);
    EXPECT_EQ(q->attempt(end::send, *a, m), outcome::ok);
}

TEST_F(conduit_fork, gives_the_child_descriptors_of_its_own_under_the_same_numbers) {
    const auto c = open(4);
    const int descriptor = c->watch(end::recv, *a);
    EXPECT_EQ(in_child([&] {
                  message m = numbered(1);
                  EXPECT_EQ(c->try_send(*a, m), outcome::ok);
                  EXPECT_TRUE(readable(descriptor));
                  EXPECT_EQ(c->watch(end::recv, *a), descriptor);
              }),
              0);
    EXPECT_FALSE(readable(descriptor)) << "nothing lies in the parent's channel";
    message m = numbered(2);
    ASSERT_EQ(c->try_send(*a, m), outcome::ok);
    EXPECT_EQ(in_child([&] {
                  EXPECT_TRUE(readable(descriptor));
                  message taken;
                  EXPECT_EQ(c->try_recv(*a, taken), outcome::ok);
                  EXPECT_FALSE(readable(descriptor));
              }),
              0);
    EXPECT_TRUE(readable(descriptor)) << "the child's receiving is its own";
}

TEST_F(conduit_fork, leaves_a_file_alone_that_took_a_descriptors_number) {
    const auto c = open(4);
    const int descriptor = c->watch(end::recv, *a);
    const int spare = dup(descriptor);
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(pipe(pipe_ends.data()), 0);
    ASSERT_EQ(dup2(pipe_ends[1], descriptor), descriptor); // as after os.closerange, and an open
    EXPECT_EQ(in_child([&] {
                  EXPECT_EQ(write(descriptor, "x", 1), 1);
                  message m = numbered(1);
                  EXPECT_EQ(c->try_send(*a, m), outcome::ok);
                  const int own = c->watch(end::recv, *a);
                  EXPECT_NE(own, descriptor);
                  EXPECT_TRUE(readable(own));
                  EXPECT_EQ(write(descriptor, "y", 1), 1);
              }),
              0);
    std::array<char, 2> got{};
    EXPECT_EQ(read(pipe_ends[0], got.data(), got.size()), 2);
    EXPECT_EQ(dup2(spare, descriptor), descriptor);
    for (const int each : {spare, pipe_ends[0], pipe_ends[1]}) {
        close(each);
    }
}

/// Its end waits for the test.
struct lingering : attachment {
    lingering(std::atomic<bool>& ending, std::atomic<bool>& may_end) : ending_(ending), may_end_(may_end) {}
    ~lingering() override {
        ending_.store(true);
        while (!may_end_.load()) {
            std::this_thread::yield();
        }
    }

  private:
    std::atomic<bool>& ending_;
    std::atomic<bool>& may_end_;
};

TEST_F(conduit_fork, lets_the_child_collect_though_another_thread_was_collecting) {
    std::atomic<bool> ending{false};
    std::atomic<bool> may_end{false};
    std::atomic<int> alive{0};
    const auto make_garbage = [&](std::unique_ptr<attachment> what) {
        const auto c = open(std::nullopt);
        message m = carrying(c, end::recv);
        m.body()->attachments.push_back(std::move(what));
        ASSERT_EQ(c->try_send(*a, m), outcome::ok);
        c->drop_holder(end::send, *a);
        c->drop_holder(end::recv, *a);
    };
    const std::jthread collector([&] { make_garbage(std::make_unique<lingering>(ending, may_end)); });
    while (!ending.load()) {
        std::this_thread::yield();
    }
    EXPECT_EQ(in_child([&] {
                  make_garbage(std::make_unique<tracer>(alive));
                  EXPECT_EQ(alive, 0);
              }),
              0);
    may_end.store(true);
}

TEST_F(conduit_fork, empties_a_gate_but_for_the_thread_that_forks) {
    gate door;
    ASSERT_TRUE(door.enter());
    std::atomic<bool> leave{false};
    std::atomic<bool> inside{false};
    std::jthread other([&] {
        ASSERT_TRUE(door.enter());
        inside.store(true);
        while (!leave.load()) {
            std::this_thread::yield();
        }
        door.leave();
    });
    while (!inside.load()) {
        std::this_thread::yield();
    }
    EXPECT_EQ(in_child([&] {
                  door.forget_other_threads();
                  door.leave();
                  door.shut();
                  door.wait_until_empty();
                  EXPECT_FALSE(door.enter());
              }),
              0)
        << "14: it waited for a thread that is not there";
    leave.store(true);
    other.join();
    door.leave();
}

} // namespace
} // namespace isthmus::core::test

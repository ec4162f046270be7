/// Queues from C++: limits, time, shutdown, what a dead interpreter left, many threads.

#include "balance.hpp"

#include "cxx/codec.hpp"

#include <isthmus/queue.hpp>

#include <atomic>
#include <limits>
#include <poll.h>
#include <thread>

namespace isthmus::test {
namespace {

using namespace std::chrono_literals;

class queues : public balanced {
  protected:
    static std::shared_ptr<core::queue> inside(const queue& q) { return core::queue::all().find(q.id()); }
};

TEST_F(queues, a_full_queue_waits_and_refuses) {
    queue q(2);
    EXPECT_EQ(q.maxsize(), 2U);
    q.put(1);
    EXPECT_FALSE(q.full());
    q.put("two");
    EXPECT_TRUE(q.full());
    EXPECT_FALSE(q.put_nowait(3));
    EXPECT_THROW(q.put(3, 0ns), timeout_error);
    EXPECT_THROW(q.put(3, 2ms), timeout_error);
    EXPECT_EQ(q.size(), 2U);
    std::thread other([copy = q]() mutable { copy.put(3, 60s); });
    while (inside(q)->parked_putters() != 1) {
        std::this_thread::yield();
    }
    EXPECT_EQ(q.get<int>(), 1);
    other.join();
    EXPECT_EQ(q.get<std::string>(), "two");
    EXPECT_EQ(q.get_nowait(), value(3));
    EXPECT_EQ(q.get_nowait(), std::nullopt);
    EXPECT_THROW(static_cast<void>(q.get(0ns)), timeout_error);
    EXPECT_THROW(static_cast<void>(q.get(2ms)), timeout_error);
}

TEST_F(queues, no_limit_is_none) {
    queue q;
    EXPECT_EQ(q.maxsize(), 0U);
    for (int i = 0; i < 500; ++i) {
        EXPECT_TRUE(q.put_nowait(i));
    }
    EXPECT_FALSE(q.full());
    EXPECT_FALSE(queue(std::numeric_limits<std::size_t>::max()).full());
}

TEST_F(queues, a_shutdown_leaves_what_lies_there) {
    queue q;
    q.put(1);
    q.shutdown();
    q.shutdown();
    EXPECT_THROW(q.put(2), closed_error);
    EXPECT_THROW(static_cast<void>(q.put_nowait(2)), closed_error);
    EXPECT_EQ(q.get<int>(), 1);
    EXPECT_THROW(static_cast<void>(q.get()), closed_error);
    EXPECT_THROW(static_cast<void>(q.get_nowait()), closed_error);
}

TEST_F(queues, an_immediate_shutdown_drops_it_and_wakes_who_waits) {
    queue q(1);
    q.put(1);
    std::thread putting([copy = q]() mutable { EXPECT_THROW(copy.put(2, 60s), closed_error); });
    while (inside(q)->parked_putters() != 1) {
        std::this_thread::yield();
    }
    q.shutdown(true);
    putting.join();
    EXPECT_THROW(static_cast<void>(q.get()), closed_error);
    queue empty;
    std::thread getting(
        [copy = empty]() mutable { EXPECT_THROW(static_cast<void>(copy.get(60s)), closed_error); });
    while (inside(empty)->parked_getters() != 1) {
        std::this_thread::yield();
    }
    empty.shutdown();
    getting.join();
}

TEST_F(queues, what_a_dead_interpreter_put_arrives_as_its_option_says) {
    queue q;
    const auto dying = core::party::create();
    for (const core::unbound how : {core::unbound::replace, core::unbound::error, core::unbound::remove}) {
        core::message m = detail::encode(7);
        m.set_if_unbound(how);
        ASSERT_EQ(inside(q)->attempt(core::end::send, *dying, m), core::outcome::ok);
    }
    q.put("alive");
    dying->begin_close();
    core::party_died_everywhere(*dying);
    EXPECT_EQ(q.size(), 3U);
    EXPECT_TRUE(q.get().is_none());
    EXPECT_THROW(static_cast<void>(q.get()), interpreter_error);
    EXPECT_EQ(q.get<std::string>(), "alive");
}

TEST_F(queues, a_queue_travels_and_is_the_same) {
    queue q(5);
    q.put(std::vector<value>{q});
    const value got = q.get();
    EXPECT_EQ(got[0].as<queue>(), q);
    EXPECT_EQ(got[0].as<queue>().maxsize(), 5U);
    EXPECT_NE(queue(), q);
    EXPECT_EQ(inside(q)->survey().in_flight, 0U);
    q.put(q); // and is collected with what lies in it
}

TEST_F(queues, its_descriptor_tells_of_items) {
    queue q;
    pollfd asked{q.fileno(), POLLIN, 0};
    EXPECT_EQ(poll(&asked, 1, 0), 0);
    q.put(1);
    EXPECT_EQ(poll(&asked, 1, 0), 1);
    static_cast<void>(q.get());
    EXPECT_EQ(poll(&asked, 1, 0), 0);
    q.shutdown();
    EXPECT_EQ(poll(&asked, 1, 0), 1);
}

TEST_F(queues, threads_take_each_item_once) {
    constexpr int each = 3'000;
    queue q(5);
    std::atomic<long> sum{0};
    std::vector<std::thread> all;
    for (int t = 0; t < 3; ++t) {
        all.emplace_back([copy = q]() mutable {
            for (int i = 1; i <= each; ++i) {
                copy.put(i, 60s);
            }
        });
        all.emplace_back([&sum, copy = q]() mutable {
            for (int i = 0; i < each; ++i) {
                sum += copy.get<int>(60s);
            }
        });
    }
    for (std::thread& one : all) {
        one.join();
    }
    EXPECT_EQ(sum, 3L * each * (each + 1) / 2);
    EXPECT_EQ(q.size(), 0U);
}

} // namespace
} // namespace isthmus::test

/// Invariant 4: the free path waits for nobody. Invariant 8: no lock is held where Python may run.
#include "channel_fixture.hpp"
#include "memory_fixture.hpp"

#include <chrono>
#include <future>

namespace isthmus::core::test {
namespace {

/// The memory lock, held as a fork holds it.
class memory_lock_held {
  public:
    memory_lock_held() { memory().before_fork(); }
    ~memory_lock_held() { memory().after_fork_in_parent(); }
    memory_lock_held(const memory_lock_held&) = delete;
    memory_lock_held& operator=(const memory_lock_held&) = delete;
};

using free_path = memory_test;

/// Runs `frees` on another thread while the lock is held here. False: it waited for the lock.
bool ends_beside_the_lock(const std::function<void()>& frees) {
    std::future<void> freeing;
    bool ended = false;
    {
        const memory_lock_held held;
        freeing = std::async(std::launch::async, frees);
        ended = freeing.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    }
    freeing.get();
    return ended;
}

TEST_F(free_path, an_owners_block_waits_for_no_lock) {
    actor owner;
    slot& s = *owner.make(100'000, 1);
    EXPECT_TRUE(ends_beside_the_lock([&] { owner.drop(s); }));
    EXPECT_EQ(s.state, slot::use::idle);
}

TEST_F(free_path, a_foreign_twin_waits_for_no_lock_and_needs_nothing_of_its_owner) {
    actor owner;
    actor receiver;
    slot& s = *owner.make(100'000, 1);
    void* const twin = receiver.receive(owner.send(s));
    ASSERT_NE(twin, nullptr);
    EXPECT_TRUE(ends_beside_the_lock([&] { receiver.drop(twin); }));
    EXPECT_EQ(owner.drain(), 1U);
    owner.drop(s);
}

TEST_F(free_path, a_window_that_closes_takes_frees_to_its_end) {
    actor owner;
    auto receiver = std::make_unique<actor>();
    slot& s = *owner.make(100'000, 1);
    slot& own = *receiver->make(100'000, 2);
    void* const twin = receiver->receive(owner.send(s));
    ASSERT_NE(twin, nullptr);
    static_cast<void>(receiver->view().box.close()); // no release reaches it any more
    receiver->drop(own);
    EXPECT_EQ(own.state, slot::use::idle);
    receiver->drop(twin);
    EXPECT_EQ(s.shares(), 0U) << "the owner need not wait until the window is gone";
    receiver.reset();
    EXPECT_EQ(owner.drain(), 1U);
    owner.drop(s);
}

TEST_F(free_path, keepers_end_under_no_lock) {
    actor owner;
    actor receiver;
    slot& s = *owner.make(100'000, 1);
    receiver.drop(receiver.receive(owner.send(s)));
    static std::uint64_t ended = 0;
    memory().drain(owner.view(), [](void* object) {
        EXPECT_EQ(held_locks::here(), 0U);
        ++ended;
        end_keeper(object);
    });
    EXPECT_EQ(std::exchange(ended, 0), 1U);
    owner.drop(s);
}

TEST(held_locks, are_counted) {
    {
        short_lock first;
        counted_mutex second;
        const std::lock_guard outer(first);
        const std::lock_guard inner(second);
        EXPECT_FALSE(first.try_lock());
        EXPECT_EQ(held_locks::here(), 2U) << "built with NDEBUG? Then no test sees a lock held too long";
    }
    EXPECT_EQ(held_locks::here(), 0U);
}

} // namespace
} // namespace isthmus::core::test

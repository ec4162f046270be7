/// The way of shares and releases through the memory system: who ends what, in every order (invariants 5, 6,
/// 7).

#include "memory_fixture.hpp"

#include <memory>
#include <set>

namespace isthmus::core::test {
namespace {

using sharing = memory_test;

std::uint64_t delta(counter which, std::uint64_t since) {
    return statistics::read(which) - since;
}

TEST_F(sharing, a_twin_shows_the_payload_under_a_header_of_its_own) {
    actor owner;
    actor receiver;
    slot& s = *owner.make(300'000, 42);
    void* const twin = receiver.receive(owner.send(s));
    ASSERT_NE(twin, nullptr);
    EXPECT_NE(twin, owner.base(s));
    EXPECT_EQ(memory().find(twin), &s);
    EXPECT_EQ(first_difference(s, twin), 0U);
    EXPECT_EQ(header_of(owner.base(s)).references, 2) << "the original is kept";
    EXPECT_EQ(header_of(twin).references, 1);
    // A second receive while the twin lives is the same twin; sent home, it is the original.
    EXPECT_EQ(receiver.receive(owner.send(s)), twin);
    EXPECT_EQ(s.shares(), 1U);
    add_share(s);
    EXPECT_EQ(owner.receive(share(&s)), owner.base(s));
    owner.drop(s);
    receiver.drop(twin);
    EXPECT_NE(s.shares(), 0U) << "the twin has another reference";
    receiver.drop(twin);
    EXPECT_EQ(s.shares(), 0U);
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_EQ(header_of(owner.base(s)).references, 1);
    owner.drop(s);
}

TEST_F(sharing, each_period_ends_once_and_the_keeper_with_it) {
    actor owner;
    slot& s = *owner.make(100'000, 1);
    const std::uint32_t generation = s.generation.load();
    const std::uint64_t posted = statistics::read(counter::releases_posted);
    for (int period = 0; period < 1'000; ++period) {
        share first = owner.send(s);
        share second = owner.send(s);
        EXPECT_EQ(header_of(owner.base(s)).references, 2);
        first.reset();
        EXPECT_EQ(owner.drain(), 0U);
        second.reset();
        EXPECT_EQ(header_of(owner.base(s)).references, 2) << "until the owner drains";
        EXPECT_EQ(owner.drain(), 1U);
        EXPECT_EQ(header_of(owner.base(s)).references, 1);
    }
    EXPECT_EQ(delta(counter::releases_posted, posted), 1'000U);
    EXPECT_EQ(owner.keepers_begun, 1'000U);
    EXPECT_EQ(s.generation.load(), generation) << "the slot was never freed";
    owner.drop(s);
}

TEST_F(sharing, a_release_is_queued_once_however_often_shares_reach_zero) {
    actor owner;
    slot& s = *owner.make(100'000, 1);
    const std::uint64_t posted = statistics::read(counter::releases_posted);
    for (int again = 0; again < 50; ++again) {
        owner.send(s).reset();
    }
    EXPECT_EQ(delta(counter::releases_posted, posted), 1U);
    share held = owner.send(s);
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_EQ(header_of(owner.base(s)).references, 2) << "shared again before the drain: the keeper stays";
    held.reset();
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_EQ(header_of(owner.base(s)).references, 1);
    EXPECT_EQ(owner.keepers_begun, 1U);
    owner.drop(s);
}

TEST_F(sharing, one_drain_runs_all_that_was_posted) {
    // More than the 300 that CPython's own ring of pending calls holds.
    constexpr std::size_t count = 500;
    actor owner;
    std::vector<slot*> objects;
    for (std::uint64_t n = 0; n < count; ++n) {
        objects.push_back(owner.make(5'000, n));
        ASSERT_NE(objects.back(), nullptr);
        owner.send(*objects.back()).reset();
    }
    EXPECT_EQ(owner.view().box.depth(), count);
    EXPECT_EQ(owner.drain(), count);
    for (slot* s : objects) {
        EXPECT_EQ(header_of(owner.base(*s)).references, 1) << "a keeper was forgotten";
        owner.drop(*s);
    }
}

TEST_F(sharing, the_owners_last_reference_may_be_the_keepers) {
    actor owner;
    actor receiver;
    slot& s = *owner.make(100'000, 7);
    void* const twin = receiver.receive(owner.send(s));
    owner.drop(s);
    EXPECT_EQ(s.state, slot::use::live);
    EXPECT_EQ(first_difference(s, twin), 0U);
    receiver.drop(twin);
    EXPECT_EQ(s.state, slot::use::live);
    owner.drain();
    EXPECT_EQ(s.state, slot::use::idle);
}

TEST_F(sharing, only_the_first_post_into_an_empty_inbox_wakes_the_owner) {
    actor owner;
    static int woken;
    woken = 0;
    owner.view().wake.store([](window&) { ++woken; });
    std::vector<slot*> objects;
    for (std::uint64_t n = 0; n < 5; ++n) {
        objects.push_back(owner.make(100'000, n));
        owner.send(*objects.back()).reset();
    }
    EXPECT_EQ(woken, 1);
    EXPECT_EQ(owner.drain(), 5U);
    owner.send(*objects[0]).reset();
    EXPECT_EQ(woken, 2);
    owner.drain();
    owner.view().wake.store(nullptr);
    for (slot* s : objects) {
        owner.drop(*s);
    }
}

TEST_F(sharing, a_payload_outlives_its_owner_until_the_last_share) {
    actor receiver;
    actor another;
    slot* s = nullptr;
    void* twin = nullptr;
    share in_flight;
    {
        actor owner;
        s = owner.make(200'000, 5);
        twin = receiver.receive(owner.send(*s));
        in_flight = owner.send(*s);
    }
    EXPECT_EQ(s->owner_window.load(), no_window);
    // A new owner moves into the very window and writes all it can.
    actor next;
    std::vector<slot*> fresh;
    for (std::uint64_t n = 0; n < 50; ++n) {
        fresh.push_back(next.make(200'000, 1'000 + n));
        EXPECT_NE(fresh.back(), s);
    }
    EXPECT_EQ(first_difference(*s, twin), 0U);
    void* const late = another.receive(std::move(in_flight));
    ASSERT_NE(late, nullptr) << "what was in flight still arrives";
    EXPECT_EQ(first_difference(*s, late), 0U);
    receiver.drop(twin);
    EXPECT_EQ(first_difference(*s, late), 0U);
    const std::uint64_t freed = statistics::read(counter::slots_freed);
    another.drop(late);
    EXPECT_EQ(delta(counter::slots_freed, freed), 1U);
    EXPECT_NE(s->state, slot::use::live);
    for (slot* f : fresh) {
        next.drop(*f);
    }
}

TEST_F(sharing, twins_left_in_a_window_that_is_gone_give_their_shares_back) {
    actor owner;
    slot& s = *owner.make(100'000, 1);
    slot& unshared = *owner.make(100'000, 2);
    {
        actor receiver;
        ASSERT_NE(receiver.receive(owner.send(s)), nullptr);
        actor forwarded;
        add_share(s);
        ASSERT_NE(forwarded.receive(share(&s)), nullptr);
        EXPECT_EQ(s.shares(), 2U);
    }
    EXPECT_EQ(s.shares(), 0U);
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_EQ(header_of(owner.base(s)).references, 1);
    owner.drop(s);
    owner.drop(unshared);
}

TEST_F(sharing, when_both_are_gone_the_slot_is_free_in_either_order) {
    for (const bool owner_first : {true, false}) {
        auto owner = std::make_unique<actor>();
        auto receiver = std::make_unique<actor>();
        slot& s = *owner->make(100'000, 1);
        ASSERT_NE(receiver->receive(owner->send(s)), nullptr);
        (owner_first ? owner : receiver).reset();
        EXPECT_EQ(s.state, slot::use::live);
        (owner_first ? receiver : owner).reset();
        EXPECT_NE(s.state, slot::use::live);
    }
}

TEST_F(sharing, releases_in_the_inbox_of_an_owner_that_goes_are_settled) {
    const std::uint64_t posted = statistics::read(counter::releases_posted);
    {
        actor owner;
        for (std::uint64_t n = 0; n < 20; ++n) {
            owner.send(*owner.make(100'000, n)).reset();
        }
    }
    EXPECT_EQ(delta(counter::releases_posted, posted), 20U);
}

TEST_F(sharing, a_release_claimed_before_its_owner_went_frees_the_block_once) {
    slot* s = nullptr;
    {
        actor owner;
        s = owner.make(100'000, 1);
        // The poster stops between its claim and its post.
        slot* const claimed = owner.send(*s).release();
        statistics::add(counter::shares_dropped);
        ASSERT_EQ(protocol::drop(*claimed), protocol::after_drop::post_release);
    }
    EXPECT_EQ(s->state, slot::use::live) << "a claimed slot cannot be reused under its poster";
    memory().post_release(*s);
    EXPECT_NE(s->state, slot::use::live);
}

TEST_F(sharing, a_late_release_in_the_next_owners_inbox_frees_the_block_once) {
    for (const bool drained : {true, false}) {
        slot* s = nullptr;
        const window* former = nullptr;
        {
            actor owner;
            former = &owner.view();
            s = owner.make(100'000, 1);
            slot* const claimed = owner.send(*s).release();
            statistics::add(counter::shares_dropped);
            ASSERT_EQ(protocol::drop(*claimed), protocol::after_drop::post_release);
        }
        actor next;
        ASSERT_EQ(&next.view(), former);
        slot& other = *next.make(100'000, 2);
        // The poster had read the window before it changed hands, so it posts there.
        statistics::add(counter::releases_posted);
        ASSERT_EQ(next.view().box.post(*s), inbox::posted::first);
        const std::uint64_t ended = keepers_ended.load();
        if (drained) {
            EXPECT_EQ(next.drain(), 1U);
        } else {
            next.die();
        }
        EXPECT_NE(s->state, slot::use::live);
        EXPECT_EQ(keepers_ended.load(), ended) << "no reference of the new owner's was dropped";
        if (drained) {
            EXPECT_EQ(header_of(next.base(other)).references, 1);
            next.drop(other);
        }
    }
}

TEST_F(sharing, an_original_freed_against_its_keeper_lives_on_for_the_others) {
    // As an interpreter does that tears down its objects whatever their counts.
    for (const bool owner_goes_first : {true, false}) {
        auto owner = std::make_unique<actor>();
        actor receiver;
        slot& s = *owner->make(200'000, 11);
        void* const twin = receiver.receive(owner->send(s));
        void* const original = owner->base(s);
        memory().release(original);
        EXPECT_EQ(first_difference(s, twin), 0U);
        if (owner_goes_first) {
            owner.reset();
            EXPECT_EQ(first_difference(s, twin), 0U);
        } else {
            // Still there, it may be sent the value again: that is a twin like any other.
            add_share(s);
            void* const back = owner->receive(share(&s));
            ASSERT_NE(back, nullptr);
            EXPECT_EQ(first_difference(s, back), 0U);
            EXPECT_EQ(header_of(back).references, 1);
            std::memset(memory().space().at(owner->view().index, memory().index_of(s) << unit_shift), 0x33,
                        64);
            EXPECT_EQ(*memory().space().master_at(memory().index_of(s) << unit_shift), std::byte{0})
                << "its header page is private now";
            owner->drop(back);
        }
        const std::size_t mappings = memory().mappings();
        receiver.drop(twin);
        EXPECT_LT(memory().mappings(), mappings);
        EXPECT_NE(s.state, slot::use::live);
    }
}

TEST_F(sharing, generations_tell_a_reused_slot_apart) {
    actor owner;
    std::set<std::pair<std::size_t, std::uint32_t>> seen;
    for (std::uint64_t n = 0; n < 200; ++n) {
        const slot& s = *owner.make(100'000, n);
        EXPECT_TRUE(seen.emplace(memory().index_of(s), s.generation.load()).second);
        owner.drop(s);
    }
    EXPECT_EQ(seen.size(), 200U);
}

} // namespace
} // namespace isthmus::core::test

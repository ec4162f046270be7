/// Address space, warm blocks, budget and caps of design section 4 (invariants 9 and 10).

#include "memory_fixture.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace isthmus::core::test {
namespace {

/// What lies where, as the test believes: offset -> end.
class occupied {
  public:
    void add(const slot& s) {
        const std::size_t start = memory().index_of(s) << unit_shift;
        const std::size_t end = start + s.block_size();
        EXPECT_EQ(start % s.block_size(), 0U) << "a block lies at a multiple of its size";
        EXPECT_LE(end, memory().space().capacity());
        const auto next = blocks_.lower_bound(start);
        EXPECT_TRUE(next == blocks_.end() || next->first >= end) << "overlaps what begins at " << next->first;
        EXPECT_TRUE(next == blocks_.begin() || std::prev(next)->second <= start) << "overlaps at " << start;
        EXPECT_TRUE(blocks_.emplace(start, end).second);
    }
    void remove(const slot& s) { EXPECT_EQ(blocks_.erase(memory().index_of(s) << unit_shift), 1U); }

  private:
    std::map<std::size_t, std::size_t> blocks_;
};

using blocks = memory_test;

TEST_F(blocks, live_blocks_never_overlap_and_merge_back_to_one) {
    dice chance(test_seed());
    occupied model;
    std::array<actor, 3> owners;
    struct held {
        actor* owner;
        slot* s;
    };
    std::vector<held> live;
    int refused = 0;
    for (int step = 0; step < 4'000; ++step) {
        if (live.empty() || !chance.once_in(live.size() > 60 ? 2 : 3)) {
            // Sizes evenly over the orders, up to 8 MiB; blocks fill the arena now and then.
            const std::size_t size = 4'000 + chance.roll(std::size_t{1} << (13 + chance.roll(10)));
            actor& owner = owners[chance.roll(owners.size())];
            slot* const s = owner.make(size, static_cast<std::uint64_t>(step));
            if (s == nullptr) {
                ++refused;
                continue;
            }
            EXPECT_LE(size, s->room());
            model.add(*s);
            live.push_back({&owner, s});
        } else {
            const std::size_t chosen = chance.roll(live.size());
            const auto [owner, s] = live[chosen];
            ASSERT_EQ(first_difference(*s, owner->base(*s)), 0U) << "step " << step;
            model.remove(*s);
            owner->drop(*s);
            live.erase(live.begin() + static_cast<std::ptrdiff_t>(chosen));
        }
        ASSERT_LE(memory().idle_bytes(), small_sizes.budget);
        if (testing::Test::HasFailure()) {
            return;
        }
    }
    for (const auto& [owner, s] : live) {
        EXPECT_EQ(first_difference(*s, owner->base(*s)), 0U);
        owner->drop(*s);
    }
    std::printf("%d of 4000 steps found no room\n", refused);
}

TEST_F(blocks, idle_bytes_stay_within_the_budget) {
    actor owner;
    std::vector<slot*> live;
    for (std::uint64_t n = 0; n < 100; ++n) {
        live.push_back(owner.make(200'000, n));
        ASSERT_NE(live.back(), nullptr);
    }
    const std::size_t at_most = resident_bytes(memory().space());
    EXPECT_GE(at_most, 100U * 200'000U);
    for (slot* s : live) {
        owner.drop(*s);
        EXPECT_LE(memory().idle_bytes(), small_sizes.budget);
    }
    EXPECT_GT(memory().idle_bytes(), small_sizes.budget / 2) << "warm blocks are kept up to the budget";
    EXPECT_LE(resident_bytes(memory().space()), small_sizes.budget);
}

TEST_F(blocks, fresh_pages_may_be_populated_later) {
    actor owner;
    constexpr std::size_t size = 1'000'000;
    std::span<std::byte> fresh;
    const std::size_t before = resident_bytes(memory().space());
    void* const block = memory().allocate(owner.view(), 1, size, size, false, &fresh);
    ASSERT_NE(block, nullptr);
    EXPECT_GE(fresh.size(), size);
    EXPECT_LT(resident_bytes(memory().space()) - before, size);
    memory().populate(fresh);
    EXPECT_GE(resident_bytes(memory().space()) - before, size);
    memory().release(block);
    void* const warm = memory().allocate(owner.view(), 1, size, size, false, &fresh);
    EXPECT_EQ(warm, block);
    EXPECT_TRUE(fresh.empty());
    memory().populate(fresh);
    memory().release(warm);
}

TEST_F(blocks, the_newest_idle_block_is_used_again_and_the_oldest_is_purged) {
    actor owner;
    std::vector<slot*> order;
    for (std::uint64_t n = 0; n < 4; ++n) {
        order.push_back(owner.make(mebibyte, n));
        ASSERT_NE(order.back(), nullptr);
    }
    for (slot* s : order) {
        owner.drop(*s);
    }
    // Four times 1 MiB and a page are more than 4 MiB: the first one had to go.
    EXPECT_FALSE(order[0]->is_mapped(owner.view().index));
    EXPECT_TRUE(order[1]->is_mapped(owner.view().index));
    const std::uint32_t generation = order[3]->generation.load();
    slot* const again = owner.make(mebibyte - 5, 9);
    EXPECT_EQ(again, order[3]);
    EXPECT_EQ(again->generation.load(), generation);
    owner.drop(*again);
    EXPECT_NE(again->generation.load(), generation) << "freed: another identity";
}

TEST_F(blocks, a_full_arena_refuses_and_recovers) {
    actor owner;
    const std::size_t quarter = memory().space().capacity() / 4 - object_offset;
    std::vector<void*> live;
    const auto take = [&] { return memory().allocate(owner.view(), 1, quarter, quarter, true); };
    for (int n = 0; n < 4; ++n) {
        live.push_back(take());
        ASSERT_NE(live.back(), nullptr);
    }
    EXPECT_EQ(take(), nullptr);
    EXPECT_EQ(owner.make(5'000, 1), nullptr) << "not even a unit is left";
    memory().release(live.back());
    slot* const small = owner.make(5'000, 1);
    ASSERT_NE(small, nullptr);
    EXPECT_EQ(take(), nullptr);
    owner.drop(*small);
    live.back() = take();
    EXPECT_NE(live.back(), nullptr) << "a small idle block must give way";
    for (void* block : live) {
        memory().release(block);
    }
}

TEST_F(blocks, what_no_arena_can_hold_is_refused) {
    actor owner;
    const std::size_t capacity = memory().space().capacity();
    for (const std::size_t size : {capacity - object_offset + 1, capacity, 4 * capacity, std::size_t{1} << 62,
                                   (std::size_t{1} << 63) - 1}) {
        EXPECT_EQ(memory().allocate(owner.view(), 1, size, size, false), nullptr) << size;
    }
}

TEST_F(blocks, room_to_grow_is_given_up_before_the_allocation_is) {
    actor owner;
    const std::size_t half = memory().space().capacity() / 2 - object_offset;
    void* const large = memory().allocate(owner.view(), 1, half, half, true);
    const std::size_t quarter = memory().space().capacity() / 4 - object_offset;
    void* const other = memory().allocate(owner.view(), 1, quarter, quarter, true);
    ASSERT_TRUE(large != nullptr && other != nullptr);
    void* const modest = memory().allocate(owner.view(), 1, 100'000, half, false);
    ASSERT_NE(modest, nullptr);
    EXPECT_LT(memory().find(modest)->room(), mebibyte);
    for (void* block : {large, other, modest}) {
        memory().release(block);
    }
}

TEST_F(blocks, the_mapping_cap_refuses_and_recovers) {
    actor owner;
    std::vector<slot*> live;
    while (slot* s = owner.make(20'000, live.size())) {
        live.push_back(s);
    }
    EXPECT_EQ(live.size(), small_sizes.mapping_cap);
    EXPECT_EQ(memory().mappings(), small_sizes.mapping_cap);
    owner.drop(*live.back());
    live.back() = owner.make(100'000, 1); // another size: the idle block's mapping has to go first
    EXPECT_NE(live.back(), nullptr);
    EXPECT_EQ(memory().mappings(), small_sizes.mapping_cap);
    for (slot* s : live) {
        owner.drop(*s);
    }
}

TEST_F(blocks, at_the_mapping_cap_a_twin_is_refused_until_there_is_room) {
    actor owner;
    actor receiver;
    std::vector<slot*> live;
    while (slot* s = owner.make(60'000, live.size())) {
        live.push_back(s);
    }
    slot& s = *live.front();
    EXPECT_EQ(receiver.receive(owner.send(s)), nullptr);
    EXPECT_FALSE(s.is_mapped(receiver.view().index));
    EXPECT_EQ(memory().payload(s)[512], pattern(0, header_room + 512)) << "still readable";
    // More than the budget becomes idle, so that mappings go.
    for (; live.size() > small_sizes.mapping_cap / 2; live.pop_back()) {
        owner.drop(*live.back());
    }
    void* const twin = receiver.receive(owner.send(s));
    ASSERT_NE(twin, nullptr);
    EXPECT_EQ(first_difference(s, twin), 0U);
    receiver.drop(twin);
    EXPECT_EQ(owner.drain(), 1U);
    for (slot* rest : live) {
        owner.drop(*rest);
    }
}

TEST_F(blocks, a_receiver_gives_up_its_own_idle_blocks_for_a_twin) {
    actor owner;
    actor receiver;
    std::vector<slot*> idle;
    for (std::uint64_t n = 0; n < 10; ++n) {
        idle.push_back(receiver.make(20'000, n));
    }
    for (slot* s : idle) {
        receiver.drop(*s);
    }
    std::vector<slot*> live;
    while (slot* s = owner.make(20'000, live.size())) {
        live.push_back(s);
    }
    void* const twin = receiver.receive(owner.send(*live.front()));
    EXPECT_NE(twin, nullptr);
    EXPECT_EQ(memory().mappings(), small_sizes.mapping_cap);
    receiver.drop(twin);
    owner.drain();
    for (slot* s : live) {
        owner.drop(*s);
    }
}

bool all_zero(const void* place, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(place);
    return std::all_of(bytes, bytes + size, [](std::byte b) { return b == std::byte{0}; });
}

TEST_F(blocks, zeroed_allocation_zeroes_what_was_used_before) {
    actor owner;
    constexpr std::size_t first = 150'000;
    void* const dirty = memory().allocate(owner.view(), 1, first, first, false);
    ASSERT_NE(dirty, nullptr);
    std::memset(dirty, 0xee, first);
    memory().release(dirty);
    // Larger than what was touched, so one part is old pages and the rest new ones.
    constexpr std::size_t second = 200'000;
    void* const clean = memory().allocate(owner.view(), 1, second, second, true);
    EXPECT_EQ(clean, dirty);
    EXPECT_TRUE(all_zero(clean, second));
    std::memset(clean, 0xee, second);
    memory().release(clean);
    void* const shorter = memory().allocate(owner.view(), 1, first, first, true);
    EXPECT_TRUE(all_zero(shorter, first));
    memory().release(shorter);
}

TEST_F(blocks, purged_addresses_read_as_zero_when_used_again) {
    actor owner;
    constexpr std::size_t size = 8 * mebibyte; // beyond the budget: purged at once
    void* const dirty = memory().allocate(owner.view(), 1, size, size, false);
    std::memset(dirty, 0xee, size);
    memory().release(dirty);
    EXPECT_EQ(memory().idle_bytes(), 0U);
    void* const clean = memory().allocate(owner.view(), 1, size, size, true);
    EXPECT_EQ(clean, dirty);
    EXPECT_TRUE(all_zero(clean, size));
    memory().release(clean);
}

TEST_F(blocks, resize_grows_and_shrinks_in_place_and_keeps_the_content) {
    actor owner;
    constexpr std::size_t expected = 2 * mebibyte;
    auto* const object = static_cast<std::byte*>(memory().allocate(owner.view(), 1, 70'000, expected, false));
    ASSERT_NE(object, nullptr);
    slot& s = *memory().find(object);
    EXPECT_GE(s.room(), expected);
    std::size_t size = 70'000;
    std::memset(object, 0x11, size);
    while (size < expected) {
        const std::size_t larger = std::min(expected, size * 2);
        memory().resize(s, larger);
        EXPECT_EQ(s.bytes.load(), larger);
        for (std::size_t at = 0; at < size; at += 997) {
            ASSERT_EQ(object[at], std::byte{0x11});
        }
        std::memset(object + size, 0x11, larger - size);
        size = larger;
    }
    memory().resize(s, 80'000);
    EXPECT_EQ(s.bytes.load(), 80'000U);
    EXPECT_EQ(object[79'999], std::byte{0x11});
    // What it touched at its largest is accounted for: nothing stays resident.
    memory().release(object);
}

TEST_F(blocks, only_the_object_base_of_a_live_block_is_found) {
    actor owner;
    slot* const s = owner.make(100'000, 3);
    auto* const object = static_cast<std::byte*>(owner.base(*s));
    EXPECT_EQ(memory().find(object), s);
    for (const std::ptrdiff_t off : {std::ptrdiff_t{-1}, std::ptrdiff_t{1}, std::ptrdiff_t{64},
                                     static_cast<std::ptrdiff_t>(unit_size)}) {
        EXPECT_EQ(memory().find(object + off), nullptr);
    }
    EXPECT_EQ(memory().find(&owner), nullptr);
    EXPECT_EQ(memory().find(nullptr), nullptr);
    owner.drop(*s);
    EXPECT_EQ(memory().find(object), nullptr);
}

TEST_F(blocks, windows_run_out_and_come_back) {
    std::vector<window*> taken;
    while (window* w = memory().take_window()) {
        taken.push_back(w);
    }
    EXPECT_EQ(taken.size(), small_sizes.windows);
    EXPECT_EQ(std::set<window*>(taken.begin(), taken.end()).size(), taken.size());
    memory().owner_gone(*taken[5]);
    EXPECT_EQ(memory().take_window(), taken[5]);
    for (window* w : taken) {
        memory().owner_gone(*w);
    }
}

} // namespace
} // namespace isthmus::core::test

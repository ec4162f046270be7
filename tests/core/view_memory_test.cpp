/// Memory that views show: which addresses a block has, what outlives its owner, and loans that end at any
/// moment (core/view.hpp).

#include "view_fixture.hpp"

#include "core/errand.hpp"
#include "core/registry.hpp"
#include "core/view.hpp"

#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

TEST_F(views, indirect_memory_may_be_anywhere) {
    buffer_layout layout;
    layout.indirect = true;
    std::byte some{};
    buffer_layout other;
    other.data = &some;
    EXPECT_TRUE(memory_range::of(layout).overlaps(memory_range::of(other)));
}

TEST_F(views, any_address_of_a_block_leads_to_its_slot) {
    actor owner;
    std::vector<slot*> made;
    for (const std::size_t size :
         {std::size_t{5'000}, std::size_t{70'000}, 3 * mebibyte, std::size_t{5'000}}) {
        made.push_back(owner.make(size, 1));
    }
    for (slot* s : made) {
        const auto* const base = static_cast<const std::byte*>(owner.base(*s));
        const auto size = static_cast<std::size_t>(s->record.length);
        for (std::size_t at = 0; at < size; at += 4'000) {
            EXPECT_EQ(memory().containing(base + at), s);
        }
        EXPECT_EQ(memory().containing(base + size - 1), s);
    }
    void* const freed = owner.base(*made[2]);
    for (const slot* s : made) {
        owner.drop(*s);
    }
    EXPECT_EQ(memory().containing(freed), nullptr);
    const int outside = 0;
    EXPECT_EQ(memory().containing(&outside), nullptr);
    EXPECT_EQ(memory().containing(memory().space().at(7, 0)), nullptr) << "nothing begins there";
}

TEST_F(views, pinned_memory_outlives_its_owner_and_its_window) {
    auto owner = std::make_unique<actor>();
    const auto record = std::make_shared<interpreter>();
    slot& s = *owner->make(300'000, 5);
    auto made = std::make_unique<test_loan>(record, book);
    add_share(s);
    made->pinned = share(&s);
    loan_ref held = loan_ref::begin(std::move(made));
    std::byte* const writable = memory().lasting(owner->base(s), false);
    const std::byte* const readable = memory().lasting(owner->base(s), true);
    static_cast<std::byte*>(owner->base(s))[200'000] = std::byte{0x77};
    EXPECT_EQ(writable[200'000], std::byte{0x77});
    writable[300'000 - 1] = std::byte{0x66};
    EXPECT_EQ(static_cast<std::byte*>(owner->base(s))[300'000 - 1], std::byte{0x66});
    EXPECT_EQ(header_of(owner->base(s)).references, 1) << "a pin is no keeper";
    end_errands(*record);
    owner.reset();
    // The next owner of the window, and of whatever is free.
    actor next;
    slot& other = *next.make(300'000, 6);
    EXPECT_EQ(readable[200'000], std::byte{0x77});
    EXPECT_EQ(readable[300'000 - 1], std::byte{0x66});
    writable[100] = std::byte{0x55};
    EXPECT_EQ(readable[100], std::byte{0x55});
    const int status = in_child([&] {
        std::signal(SIGSEGV, SIG_DFL); // a sanitizer's handler would make an exit of it
        *const_cast<volatile std::byte*>(&readable[100]) = std::byte{1};
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << "wait status " << status;
    held.reset();
    EXPECT_NE(s.state.load(), slot::use::live) << "the last view frees the block";
    EXPECT_EQ(book.given_back.load(), 0);
    next.drop(other);
}

TEST_F(views, a_pin_leaves_the_keeper_of_real_shares_alone) {
    actor owner;
    slot& s = *owner.make(100'000, 5);
    add_share(s);
    share pinned(&s);
    share sent = owner.send(s);
    EXPECT_EQ(header_of(owner.base(s)).references, 2);
    sent.reset();
    EXPECT_EQ(owner.drain(), 0U) << "the pin is left";
    EXPECT_EQ(header_of(owner.base(s)).references, 2);
    pinned.reset();
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_EQ(header_of(owner.base(s)).references, 1);
    owner.drop(s);
}

/// Holders on several threads copy and drop; the owner runs errands, and closes in the middle or at the end.
void hold_and_drop(ledger& book, bool close_early, std::uint64_t& orphans) {
    constexpr int threads = 3;
    constexpr int loans = 2'000;
    const std::uint64_t before = statistics::read(counter::views_orphaned);
    const auto owner = std::make_shared<interpreter>();
    std::vector<std::vector<loan_ref>> held(threads);
    for (int n = 0; n < loans; ++n) {
        const loan_ref made = loan_ref::begin(std::make_unique<test_loan>(owner, book));
        for (auto& each : held) {
            each.push_back(made);
        }
    }
    std::atomic<int> running{threads};
    std::vector<std::thread> droppers;
    for (auto& each : held) {
        droppers.emplace_back([&] {
            for (loan_ref& one : each) {
                loan_ref copy = one;
                one.reset();
                copy.reset();
            }
            running.fetch_sub(1);
        });
    }
    while (running.load() != 0 && !(close_early && book.given_back.load() > loans / 4)) {
        run_errands(*owner);
        std::this_thread::yield();
    }
    if (!close_early) {
        run_errands(*owner);
    }
    end_errands(*owner);
    for (std::thread& t : droppers) {
        t.join();
    }
    orphans = statistics::read(counter::views_orphaned) - before;
    EXPECT_EQ(book.destroyed.load(), loans);
    EXPECT_EQ(book.given_back.load() + static_cast<int>(orphans), loans) << "one or the other, once";
}

TEST_F(views, every_loan_is_given_back_or_orphaned_once) {
    std::uint64_t orphans = 0;
    hold_and_drop(book, false, orphans);
    EXPECT_EQ(orphans, 0U);
    for (int round = 0; round < 5; ++round) {
        ledger another;
        hold_and_drop(another, true, orphans);
    }
}

} // namespace
} // namespace isthmus::core::test

/// The sharing protocol against an explicit model (invariants 5, 6, 7), one thread, by chance.

#include "memory_fixture.hpp"

#include <type_traits>

namespace isthmus::core::test {
namespace {

// The table is anonymous memory that no constructor ran on.
static_assert(alignof(slot) == 64 && std::is_trivially_destructible_v<slot>);

TEST(slot_table, all_zero_bytes_are_an_empty_slot) {
    alignas(slot) std::byte storage[sizeof(slot)]{};
    const slot& s = *reinterpret_cast<const slot*>(storage);
    EXPECT_EQ(s.word.load(), 0U);
    EXPECT_EQ(s.state, slot::use::none);
    EXPECT_EQ(s.shares(), 0U);
    EXPECT_EQ(s.next_posted.load(), nullptr);
    for (unsigned window = 0; window < max_windows; ++window) {
        EXPECT_FALSE(s.is_mapped(window) || s.has_twin(window));
    }
}

TEST(slot_table, window_sets_hold_every_window) {
    slot s;
    for (unsigned window = 0; window < max_windows; ++window) {
        slot::set(s.twins, window);
        for (unsigned other = 0; other < max_windows; ++other) {
            ASSERT_EQ(s.has_twin(other), other == window);
        }
        EXPECT_TRUE(slot::clear(s.twins, window));
        EXPECT_FALSE(slot::clear(s.twins, window));
    }
}

/// Where the one release of a slot is.
enum class release_at : std::uint8_t { nowhere, poster, inbox };

/// The protocol as the design tells it, in plain variables, beside the real word.
class model {
  public:
    explicit model(std::uint64_t seed) : chance_(seed) {}

    void step() {
        switch (chance_.roll(7)) {
        case 0:
            return share_by_owner();
        case 1:
            return add();
        case 2:
        case 3:
            return drop();
        case 4:
            return post();
        case 5:
            return settle();
        default:
            if (chance_.once_in(8)) {
                return owner_gone();
            }
        }
    }

    void check() const {
        const std::uint64_t word = slot_.word.load();
        ASSERT_EQ(slot_.shares(), shares_);
        ASSERT_EQ((word & protocol::queued) != 0, release_ != release_at::nowhere);
        ASSERT_EQ((word & protocol::orphan) != 0, orphan_);
        ASSERT_EQ((word & protocol::keeper) != 0, keeper_);
        if (!closed_) {
            ASSERT_EQ(keeper_, shares_ > 0 || release_ != release_at::nowhere)
                << "the keeper is held from the first share until the release is run";
        }
        ASSERT_EQ(keepers_begun_, keepers_ended_ + (keeper_ ? 1U : 0U));
        ASSERT_FALSE(orphan_ && keeper_);
    }

    /// Everybody lets go, the owner last or first.
    void finish() {
        while (shares_ > 0) {
            drop();
        }
        post();
        settle();
        if (!orphan_ && chance_.once_in(2)) {
            owner_gone();
        }
        check();
    }

    [[nodiscard]] unsigned frees() const { return frees_; }
    [[nodiscard]] unsigned periods() const { return keepers_begun_; }

  private:
    void share_by_owner() {
        if (orphan_ || closed_) {
            return;
        }
        EXPECT_EQ(protocol::share_by_owner(slot_), !keeper_);
        statistics::add(counter::shares_taken);
        keepers_begun_ += keeper_ ? 0 : 1;
        keeper_ = true;
        ++shares_;
    }

    void add() {
        if (shares_ > 0) {
            add_share(slot_);
            ++shares_;
        }
    }

    void drop() {
        if (shares_ == 0) {
            return;
        }
        --shares_;
        statistics::add(counter::shares_dropped);
        const bool last = shares_ == 0;
        const bool queued = release_ != release_at::nowhere;
        switch (protocol::drop(slot_)) {
        case protocol::after_drop::still_shared:
            EXPECT_TRUE(!last || queued);
            break;
        case protocol::after_drop::post_release:
            EXPECT_TRUE(last && !queued && !orphan_) << "a release is queued at most once";
            release_ = release_at::poster;
            break;
        case protocol::after_drop::free_block:
            EXPECT_TRUE(last && !queued && orphan_);
            freed();
            break;
        }
    }

    void post() {
        if (release_ != release_at::poster) {
            return;
        }
        if (!closed_) {
            release_ = release_at::inbox;
            return;
        }
        // Refused; or taken by the inbox of whoever has the window now, as a poster that comes late finds it.
        if (orphan_ && chance_.once_in(2)) {
            release_ = release_at::inbox;
            return;
        }
        settle_without_owner();
    }

    /// A drain: the owner's, or that of the window's next owner. An owner may settle what it claimed itself.
    void settle() {
        const bool own_claim = release_ == release_at::poster && !closed_;
        if (release_ != release_at::inbox && !own_claim) {
            return;
        }
        if (orphan_ && chance_.once_in(2)) {
            return settle_without_owner(); // that next owner goes, too, before it drains
        }
        release_ = release_at::nowhere;
        const bool ends = keeper_ && shares_ == 0;
        keeper_ = keeper_ && !ends;
        keepers_ended_ += ends ? 1 : 0;
        switch (protocol::settle(slot_)) {
        case protocol::after_settle::nothing:
            EXPECT_TRUE(!ends && !(orphan_ && shares_ == 0));
            break;
        case protocol::after_settle::drop_keeper:
            EXPECT_TRUE(ends && !orphan_);
            break;
        case protocol::after_settle::free_block:
            EXPECT_TRUE(orphan_ && shares_ == 0);
            freed();
            break;
        }
    }

    void settle_without_owner() {
        release_ = release_at::nowhere;
        const bool frees = protocol::settle_without_owner(slot_);
        EXPECT_EQ(frees, orphan_ && shares_ == 0);
        if (frees) {
            freed();
        }
    }

    /// Closes the inbox, settles what lies in it, then makes the slot an orphan: others may act in between.
    void owner_gone() {
        if (!closed_) {
            closed_ = true;
            if (release_ == release_at::inbox) {
                settle_without_owner();
            }
            return;
        }
        if (orphan_) {
            return;
        }
        const bool frees = protocol::make_orphan(slot_);
        EXPECT_EQ(frees, shares_ == 0 && release_ == release_at::nowhere);
        orphan_ = true;
        keepers_ended_ += keeper_ ? 1 : 0;
        keeper_ = false;
        if (frees) {
            freed();
        }
    }

    /// The block is free, once: the slot begins a new life under a new owner.
    void freed() {
        ASSERT_EQ(shares_, 0U);
        ASSERT_EQ(release_, release_at::nowhere);
        ASSERT_FALSE(keeper_);
        ++frees_;
        closed_ = orphan_ = false;
        slot_.word.store(0);
    }

    dice chance_;
    slot slot_;
    std::uint32_t shares_ = 0;
    release_at release_ = release_at::nowhere;
    bool keeper_ = false;
    bool closed_ = false; ///< the owner's inbox refuses
    bool orphan_ = false;
    unsigned keepers_begun_ = 0;
    unsigned keepers_ended_ = 0;
    unsigned frees_ = 0;
};

TEST(slot_protocol, agrees_with_its_model_whatever_happens) {
    const std::uint64_t seed = test_seed();
    unsigned frees = 0;
    unsigned periods = 0;
    for (std::uint64_t run = 0; run < 60; ++run) {
        model m(seed + run);
        for (int step = 0; step < 2'000; ++step) {
            m.step();
            m.check();
            if (testing::Test::HasFailure()) {
                FAIL() << "run " << run << ", step " << step << ", seed " << seed + run;
            }
        }
        m.finish();
        frees += m.frees();
        periods += m.periods();
    }
    EXPECT_GT(frees, 100U);
    EXPECT_GT(periods, 1'000U);
}

TEST(slot_protocol, a_share_moves_and_drops_once) {
    actor owner;
    slot& s = *owner.make(70'000, 1);
    {
        share first = owner.send(s);
        share second = std::move(first);
        EXPECT_FALSE(first);
        EXPECT_EQ(s.shares(), 1U);
        first = owner.send(s);
        EXPECT_EQ(s.shares(), 2U);
        first = std::move(second);
        EXPECT_EQ(s.shares(), 1U) << "assigning drops what was held";
        first.reset();
        first.reset();
        EXPECT_EQ(s.shares(), 0U);
    }
    EXPECT_EQ(owner.drain(), 1U);
    owner.drop(s);
}

} // namespace
} // namespace isthmus::core::test

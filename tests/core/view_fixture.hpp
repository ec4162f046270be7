/// Loans whose ends a test can count.
#pragma once

#include "memory_fixture.hpp"

#include "core/registry.hpp"
#include "core/view.hpp"

#include <atomic>
#include <memory>

namespace isthmus::core::test {

/// What became of the loans of a test.
struct ledger {
    std::atomic<int> given_back{0};
    std::atomic<int> destroyed{0};
};

class test_loan final : public loan {
  public:
    test_loan(interpreter_ref owner, ledger& book, bool home = false)
        : loan(std::move(owner)), book_(book), home_(home) {}
    ~test_loan() override { book_.destroyed.fetch_add(1); }
    using loan::covers;
    share pinned;

  private:
    bool is_home() const noexcept override { return home_; }
    void give_back() override {
        pinned.reset();
        book_.given_back.fetch_add(1);
        book_.given_back.notify_all();
    }
    ledger& book_;
    const bool home_;
};

class views : public memory_test {
  protected:
    void SetUp() override {
        memory_test::SetUp();
        live_ = live();
        orphaned_ = statistics::read(counter::views_orphaned);
    }
    void TearDown() override {
        EXPECT_EQ(live(), live_);
        memory_test::TearDown();
    }
    static std::uint64_t live() {
        return statistics::read(counter::views_made) - statistics::read(counter::views_ended);
    }
    [[nodiscard]] std::uint64_t orphaned() const {
        return statistics::read(counter::views_orphaned) - orphaned_;
    }
    /// `home`: as if this thread ran in the owner.
    loan_ref lend(const interpreter_ref& owner, bool home = false) {
        return loan_ref::begin(std::make_unique<test_loan>(owner, book, home));
    }

    ledger book;

  private:
    std::uint64_t live_ = 0;
    std::uint64_t orphaned_ = 0;
};

} // namespace isthmus::core::test

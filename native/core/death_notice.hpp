/// Tells that an interpreter is gone, to whoever waits for it: a conduit from which everybody can receive for
/// ever once it was given, and whose messages are empty.
#pragma once

#include "core/association.hpp"
#include "core/conduit.hpp"
#include "core/directory.hpp"
#include "core/notice.hpp"

namespace isthmus::core {

class death_notice final : public conduit {
  public:
    /// May throw std::bad_alloc.
    [[nodiscard]] static std::shared_ptr<death_notice> create();
    /// All that somebody still refers to.
    [[nodiscard]] static directory<death_notice>& all() noexcept;
    ~death_notice() override;

    [[nodiscard]] bool given() const noexcept { return notice_.given(); }
    /// Idempotent.
    void give() noexcept;
    /// ok once it was given; else timed_out, interrupted, party_closing.
    [[nodiscard]] outcome wait(party& by, futex::deadline until, wait_site& site) noexcept {
        return notice_.wait(by, until, site, spinning_);
    }

    [[nodiscard]] outcome attempt(end which, party& by, message& m) override;
    [[nodiscard]] outcome park(end which, party& by, parked& place) override;
    void unpark(end which, parked& place) noexcept override;
    void add_holder(end which, party& by) override;
    void drop_holder(end which, party& by) noexcept override;
    /// Nothing depends on who may still use it.
    void add_in_flight(end) noexcept override {}
    void drop_in_flight(end) noexcept override {}
    void party_died(party& who) noexcept override;
    [[nodiscard]] claims survey() override { return {}; }
    void abandon() noexcept override {}
    void lock_all() noexcept override { notice_.lock(); }
    void unlock_all() noexcept override { notice_.unlock(); }

  private:
    explicit death_notice(std::uint64_t id) noexcept : id_(id) {}
    void under_locks(locked_body body) override;
    void forget_parked_under_locks() noexcept override { notice_.forget_waiters(); }
    [[nodiscard]] bool ready_under_locks(end, party_id) noexcept override { return given(); }

    const std::uint64_t id_;
    notice notice_;
    spin_budget spinning_;
    association users_; ///< holders only; under the notice's lock
};

/// One inside a message.
struct travelling_death_notice final : attachment {
    explicit travelling_death_notice(std::shared_ptr<death_notice> n) noexcept : of(std::move(n)) {}
    [[nodiscard]] std::unique_ptr<attachment> again() const override {
        return std::make_unique<travelling_death_notice>(of);
    }
    std::shared_ptr<death_notice> of;
};

} // namespace isthmus::core

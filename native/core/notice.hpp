/// Something that happens once, and that threads wait for.
///
/// Thread rules: any thread, with or without a GIL; `wait` sleeps: no GIL, no lock. Whoever calls keeps the
/// notice alive until the call returns.
#pragma once

#include "core/lock.hpp"
#include "core/parking.hpp"

#include <atomic>

namespace isthmus::core {

class notice {
  public:
    [[nodiscard]] bool given() const noexcept { return given_.load(std::memory_order_acquire); }

    /// Wakes all who wait. Idempotent.
    void give() noexcept;
    /// ok: it was given; else timed_out, interrupted, party_closing.
    [[nodiscard]] outcome wait(party& by, futex::deadline until, wait_site& site,
                               spin_budget& spinning) noexcept;

    /// For a wait for several things: false, and nothing is parked, if it was given already.
    [[nodiscard]] bool park(parked& place) noexcept;
    void unpark(parked& place) noexcept;

    // For a fork, and for what else its owner guards by this lock.
    void lock() noexcept { lock_.lock(); }
    void unlock() noexcept { lock_.unlock(); }
    /// In the child, under the lock.
    void forget_waiters() noexcept { waiting_.forget(); }

  private:
    short_lock lock_; ///< guards the queue, and the change of `given_`
    std::atomic<bool> given_{false};
    parking_queue waiting_;
};

} // namespace isthmus::core

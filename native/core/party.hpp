/// One side of conversations: an interpreter as waits and channels see it.
///
/// Ownership: shared. Whoever calls an operation on behalf of a party keeps it alive until the call returns.
/// Thread rules: any thread, with or without a GIL, except `wait_idle`, which blocks: no GIL, no lock.
#pragma once

#include "core/futex.hpp"
#include "core/lock.hpp"

#include <atomic>
#include <cstdint>
#include <memory>

namespace isthmus::core {

class waiter;
template <typename T> class directory;

/// Never used again in this process, unlike CPython's interpreter ids. 0 is nobody.
using party_id = std::uint64_t;

class party {
  public:
    /// May throw std::bad_alloc.
    [[nodiscard]] static std::shared_ptr<party> create();

    /// All that somebody still refers to.
    [[nodiscard]] static directory<party>& all() noexcept;
    ~party();
    party(const party&) = delete;
    party& operator=(const party&) = delete;

    [[nodiscard]] party_id id() const noexcept { return id_; }
    [[nodiscard]] bool closing() const noexcept { return closing_.load(std::memory_order_seq_cst); }

    /// From now on every wait by this party ends with outcome::party_closing, current ones included.
    /// Idempotent.
    void begin_close() noexcept;

    /// Ends the sleeping waits whose `wait_site::interruptions` is `counted`, which the caller has advanced,
    /// with outcome::interrupted. A wait that is not asleep yet sees the count.
    void interrupt(const std::atomic<std::uint32_t>& counted) noexcept;

    /// Returns once no wait by this party is under way: true, or false when `until` passed first. After
    /// begin_close() none can start sleeping again, but a thread that has left its wait may still be on its
    /// way out: join it.
    bool wait_idle(futex::deadline until = std::nullopt) const noexcept;

    /// How many waits are under way.
    [[nodiscard]] std::uint32_t waiters() const noexcept { return present_.load(std::memory_order_seq_cst); }

    /// Counts one wait as under way. Used by waiter.
    class presence {
      public:
        explicit presence(party& of) noexcept : of_(of) {
            of_.present_.fetch_add(1, std::memory_order_seq_cst);
        }
        ~presence() { of_.leave(); }
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;

      private:
        party& of_;
    };

    /// Lists a waiter that is about to sleep, so that begin_close finds it; false: closing, don't sleep.
    [[nodiscard]] bool enroll(waiter& w) noexcept;
    void withdraw(waiter& w) noexcept;

    /// In a forked child: the threads that waited don't exist. Whatever they were doing with the list is
    /// over.
    void forget_waits() noexcept;

  private:
    explicit party(party_id id) noexcept : id_(id) {}
    void leave() noexcept;

    const party_id id_;
    std::atomic<bool> closing_{false};
    mutable std::atomic<bool> awaited_{false}; ///< somebody is in wait_idle
    futex::word present_{0};                   ///< waits under way
    /// Guards the list below and the change of closing_. A leaf: no other lock is taken under it.
    short_lock enrolled_lock_;
    waiter* enrolled_ = nullptr; ///< sleepers, any order
};

} // namespace isthmus::core

/// Waiting at an address: threads park at any byte of memory and are woken by whoever names the same one. The
/// address is a name only; nothing lies there for the sake of it.
///
/// Invariant "no lost wake": a thread looks at its condition under the lock that whoever wakes it takes,
/// after it was counted as one that may park. So who changes what the condition tells, and calls `unpark`
/// after that, either is seen by the condition or sees the thread.
///
/// Thread rules: any thread. `park_while` sleeps: no GIL, no lock held. In a forked child nobody is parked.
#pragma once

#include "core/lock.hpp"
#include "core/parking.hpp"
#include "core/waiter.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace isthmus::core::parking_lot {

/// One parked thread, on its own stack.
struct place : parked {
    const void* at = nullptr;
    waiter self;

    place(const void* address, party_id who_waits) noexcept : at(address) {
        who = &self;
        by = who_waits;
    }
};

/// Where threads park whose addresses fall together.
struct alignas(128) bucket {
    short_lock lock;
    parking_queue waiting; ///< under lock; all of them are places
    /// Threads that are parked here or about to look whether they shall.
    std::atomic<std::uint32_t> near{0};
    spin_budget spinning;
};

[[nodiscard]] bucket& bucket_of(const void* address) noexcept;
/// Parks in `chosen`, whose lock is held by `guard`; returns with neither.
[[nodiscard]] outcome park(bucket& chosen, std::unique_lock<short_lock> guard, const void* address, party& by,
                           futex::deadline until, wait_site& site) noexcept;

/// Waits at `address` if `condition()` holds. Returns would_block if it doesn't; ok: woken by `unpark`; else
/// timed_out, interrupted, party_closing. `condition` is called once, under a short_lock: it must be brief
/// and throw nothing. `by` must outlive the call.
template <typename Condition>
[[nodiscard]] outcome park_while(const void* address, const Condition& condition, party& by,
                                 futex::deadline until, wait_site& site) noexcept {
    bucket& chosen = bucket_of(address);
    chosen.near.fetch_add(1, std::memory_order_seq_cst);
    std::unique_lock guard(chosen.lock);
    const outcome how =
        condition() ? park(chosen, std::move(guard), address, by, until, site) : outcome::would_block;
    chosen.near.fetch_sub(1, std::memory_order_relaxed);
    return how;
}

/// Wakes at most `count` of the threads parked at `address`, those first that parked first; returns how many.
std::size_t unpark(const void* address, std::size_t count) noexcept;

/// How many threads are parked at `address`.
[[nodiscard]] std::size_t parked_at(const void* address) noexcept;

} // namespace isthmus::core::parking_lot

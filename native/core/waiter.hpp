/// One parked operation. It lives on the waiting thread's stack; whoever ends the wait claims it by one
/// compare-and-swap on its state word, and from that moment on must not touch it: the stack may be gone.
///
/// Named invariant W1 "one end": the state leaves `waiting`/`sleeping` exactly once.
/// Named invariant W2 "no lost wake": the word goes to `sleeping` before the thread sleeps, and the kernel
/// compares it again, so a completion either is seen by the sleeper or sees the sleeper. A select
/// parks one waiter in several places: `tag` tells which of them completed it.
/// Named invariant W3 "no lost interruption": a waiter enrolls with its party before it looks at the count of
/// interruptions for the last time, and who interrupts counts before he walks that list.
#pragma once

#include "core/futex.hpp"
#include "core/spinning.hpp"

#include <atomic>
#include <cstdint>
#include <utility>

namespace isthmus::core {

class party;
class waiter;

/// How an operation on a channel ended. Errors named are what the Python layer raises.
enum class outcome : std::uint8_t {
    ok,
    would_block,  ///< try_ operations only
    timed_out,    ///< TimeoutError
    interrupted,  ///< the wait_site was interrupted; the operation was undone
    closed,       ///< EOFError; for queues ShutDown
    poisoned,     ///< what the channel was poisoned with
    released,     ///< this party closed its own end: ValueError
    party_closing ///< InterpreterError
};

/// Where a thread publishes its current wait, so that a signal handler on the same thread can interrupt it.
/// The handler calls `interrupt()` on what `current` points to, if anything; it may also count in `signals`.
struct wait_site {
    /// Null: this thread's waits can't be interrupted by a handler.
    std::atomic<waiter*>* current = nullptr;
    /// A count of signals that the handler advances, and its value when the caller last looked for signals to
    /// handle: one that came after the look, but before the wait was published, still interrupts it.
    const std::atomic<std::uint32_t>* signals = nullptr;
    std::uint32_t seen = 0;
    /// Python's signal handling happens on this thread: EINTR interrupts the wait instead of being retried.
    bool main_thread = false;
    /// A count of the interruptions by other threads of what this thread does (current_run), and its value
    /// when the caller last looked. Who interrupts counts first and then calls `party::interrupt`. Null:
    /// nobody does.
    const std::atomic<std::uint32_t>* interruptions = nullptr;
    std::uint32_t interruptions_seen = 0;

    [[nodiscard]] bool interrupted_since() const noexcept {
        return interruptions != nullptr &&
               interruptions->load(std::memory_order_seq_cst) != interruptions_seen;
    }
};

/// The system call that a completion may still owe. Made after locks are released; the waiter may be gone by
/// then.
class wakeup {
  public:
    void fire() noexcept {
        if (sleeper_ != nullptr) {
            futex::wake(std::exchange(sleeper_, nullptr));
        }
    }

  private:
    friend class waiter;
    const futex::word* sleeper_ = nullptr;
};

class waiter {
  public:
    waiter() noexcept = default;
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    /// Claims the wait for `how`; false if it has ended already. On true the waiter may be gone at once: fire
    /// `owed` and forget it. Before the call, the caller must hold whatever keeps the waiter from leaving
    /// (the lock of the list it is parked in). Any thread, async-signal-safe.
    [[nodiscard]] bool complete(outcome how, wakeup& owed, std::uint32_t tag = 0) noexcept;

    /// Ends the wait with `outcome::interrupted` unless it has ended. Async-signal-safe.
    void interrupt() noexcept {
        wakeup owed;
        static_cast<void>(complete(outcome::interrupted, owed));
        owed.fire();
    }

    /// Waits for completion: spins at most `spin`, then sleeps. Returns how it was completed; of its own
    /// accord it completes with timed_out, interrupted, or party_closing (see party.hpp). The waiter must be
    /// completed or parked where others find it, and `by` must outlive the call. No GIL, no lock held. Call
    /// once.
    outcome wait(party& by, futex::deadline until, wait_site& site, spin_budget& spin) noexcept;

    [[nodiscard]] bool pending() const noexcept { return state_.load(std::memory_order_acquire) <= sleeping; }
    /// Which of a select's cases completed it; meaningful once it isn't pending.
    [[nodiscard]] std::uint32_t tag() const noexcept {
        return state_.load(std::memory_order_acquire) >> tag_shift;
    }

  private:
    friend class party;

    static constexpr std::uint32_t waiting = 0;
    static constexpr std::uint32_t sleeping = 1; ///< waiting, and the completer owes a system call
    static constexpr std::uint32_t ended = 2;    ///< plus the outcome, plus the tag above
    static constexpr std::uint32_t tag_shift = 8;

    [[nodiscard]] outcome result() const noexcept;
    void finish(outcome how) noexcept;
    void sleep(futex::deadline until, bool main_thread) noexcept;

    futex::word state_{waiting};
    /// Which interruptions are meant for it (wait_site); set before it is listed.
    const std::atomic<std::uint32_t>* interruptions_ = nullptr;
    waiter* next_of_party_ = nullptr;     ///< guarded by the party's lock
    waiter* previous_of_party_ = nullptr; ///< likewise
};

} // namespace isthmus::core

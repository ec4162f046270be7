/// The run under way in an interpreter, and what others ask it to raise; the same for its posted call.
///
/// A run has a number that is never used again. It is *open* while code of the user's runs, and only then can
/// be asked; a request names the run it is meant for, so it never reaches another one. Requests wait here
/// until the interpreter's courier, a thread of the runtime's, has got the GIL and takes them.
///
/// Named invariant R1 "aimed": a run opens and closes under its interpreter's GIL and the lock here, and a
/// request is taken, and raised, under that GIL: what `take` returns is for the run that is open right then.
/// Named invariant R2 "no request is forgotten": one that was accepted is taken while its run is open; the
/// courier is told after a request is in place, and looks after it was told, and a run does not close by
/// itself while one waits. Only what comes while an exception ends the run already is dropped by its close.
#pragma once

#include "core/lock.hpp"

#include <atomic>
#include <cstdint>
#include <optional>

namespace isthmus::core {

class current_run {
  public:
    using number = std::uint64_t;

    enum class source : std::uint8_t {
        caller,   ///< somebody asked for an exception of his choice
        keyboard, ///< Ctrl-C
        exit      ///< the process exits; reaches a run that is not open, too
    };
    struct request {
        const void* what = nullptr; ///< the exception's class, as the caller gave it
        source from = source::caller;
    };
    /// About the requests of the keyboard to a run that has closed.
    struct ending {
        bool raised = false; ///< one was raised there
        bool left = false;   ///< one came too late to be raised
    };

    /// A new one. Any thread.
    [[nodiscard]] static number next() noexcept;

    // --- the run's thread, under its interpreter's GIL

    /// The interpreter is taken by a run of the thread with this id, CPython's.
    void begin(unsigned long thread) noexcept { thread_.store(thread, std::memory_order_release); }
    void end() noexcept { thread_.store(0, std::memory_order_release); }
    /// Code of the user's runs from here on. Between begin() and end().
    void open(number mine) noexcept;
    /// And no more, because of an exception. `pending`: what was delivered last has not been raised.
    ending close(bool pending) noexcept;
    /// And no more, because the code has come to its end. Nothing, and still open: a request waits. What was
    /// delivered must have been raised.
    [[nodiscard]] std::optional<ending> close_unless_asked() noexcept;
    /// Whether the thread with this id runs code of the user's in an open run. Under that GIL, any thread.
    [[nodiscard]] bool is_open_on(unsigned long thread) const noexcept {
        return open_ != 0 && thread_.load(std::memory_order_relaxed) == thread;
    }

    // --- who asks: any thread. True: tell the courier. A later request replaces one that waits.

    /// False: no run is open.
    [[nodiscard]] bool ask(const void* what) noexcept;
    /// For Ctrl-C. False: `run` is not open.
    [[nodiscard]] bool ask_from_keyboard(number run) noexcept;
    /// For whatever runs there.
    void ask_at_exit(const void* what) noexcept;

    // --- the courier, under the interpreter's GIL

    /// False: nothing is left to deliver.
    [[nodiscard]] bool take(request& taken) noexcept;
    /// What was taken is on its way. Before the GIL is let go.
    void delivered(source from) noexcept;

    /// False: nothing waits, and what was taken is delivered. Any thread.
    [[nodiscard]] bool asked() const noexcept { return asked_.load(std::memory_order_acquire); }
    /// CPython's id of the thread of the current run; 0: there is none. Any thread.
    [[nodiscard]] unsigned long thread() const noexcept { return thread_.load(std::memory_order_acquire); }
    /// Counts deliveries, for waits: see wait_site.
    [[nodiscard]] const std::atomic<std::uint32_t>& deliveries() const noexcept { return deliveries_; }

    /// In a forked child. `forking`: CPython's id of the only thread there.
    void forget_other_threads(unsigned long forking) noexcept;

  private:
    struct wish {
        const void* what = nullptr;
        number run = 0; ///< 0: whichever
    };
    void note_wishes() noexcept;
    ending close_locked(bool pending) noexcept;

    std::atomic<unsigned long> thread_{0};
    std::atomic<std::uint32_t> deliveries_{0};
    std::atomic<bool> asked_{false}; ///< written under lock_
    /// A leaf. Guards what follows; that which changes under the GIL too may be read under either.
    short_lock lock_;
    number open_ = 0;                      ///< changes under the GIL and the lock
    wish wanted_;                          ///< what is null: nothing
    bool keyboard_ = false;                ///< Ctrl-C waits; only while a run is open
    std::uint32_t keyboard_delivered_ = 0; ///< to the open run; under the GIL
    bool keyboard_was_last_ = false;       ///< of what was delivered to it; under the GIL
};

} // namespace isthmus::core

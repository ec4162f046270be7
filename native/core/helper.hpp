/// An interpreter's own service thread (design section 6): empties its inbox when the owner is idle, blocked
/// or busy elsewhere.
///
/// Started by the owner when it first shares something, or by who posts a call; woken by whoever posts first
/// into an empty inbox. For releases it lets `grace` pass before it enters, because a live owner drains at
/// its next isthmus call anyway and more cheaply; during that time further posts cost their posters no system
/// call. Posted calls don't wait for that, and after one it spins briefly for the next before it sleeps.
///
/// Named invariant "asleep is said": the thread sleeps only on a signal that says so, which the kernel
/// compares again. So who tells it something makes a system call if and only if it may sleep, and none is
/// lost.
///
/// One object per window, part of static storage, so that a late poster can always touch it.
#pragma once

#include "core/futex.hpp"
#include "core/spinning.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <pthread.h>

namespace isthmus::core {

class helper {
  public:
    static constexpr futex::nanoseconds grace = 5'000'000;

    /// `work(context)` enters the interpreter, empties its inbox, and returns false when it may not enter any
    /// more.
    using work_fn = bool (*)(void* context);

    /// Starts the thread if none runs. `changing`: another thread is just starting or stopping it.
    /// `impossible`: no thread could be made. Under the owner's GIL, or inside its gate.
    enum class presence : std::uint8_t { running, changing, impossible };
    /// `pause`: how long it lets pass, once told, before it works, unless told to work at once.
    presence ensure(work_fn work, void* context, futex::nanoseconds pause = grace) noexcept;
    /// The same; false unless it runs: releases wait for the owner's own calls then.
    bool start(work_fn work, void* context, futex::nanoseconds pause = grace) noexcept {
        return ensure(work, context, pause) == presence::running;
    }
    /// Any thread, no GIL, lock-free: something was posted.
    void notify() noexcept {
        if (signal_.fetch_or(pending, std::memory_order_acq_rel) == asleep) {
            futex::wake(&signal_);
        }
    }
    /// The same for what must not wait for the grace. Without a thread it is kept for the next one.
    void notify_at_once() noexcept {
        const std::uint32_t before = signal_.fetch_or(urgent, std::memory_order_seq_cst);
        if ((before & asleep) != 0 && (before & urgent) == 0) {
            futex::wake(&signal_);
        }
    }
    /// Ends the thread and joins it. The caller holds no GIL: the thread may need it to finish. Does nothing
    /// on that thread itself, where work of the user's may run. What is posted meanwhile may find no thread:
    /// unless nothing may be posted any more, the caller looks afterwards.
    void stop() noexcept;
    /// By the work: whether what it was told must not wait.
    [[nodiscard]] bool hurried() const noexcept { return hurried_; }
    /// By the work, with no GIL, between its look at what was posted and its return: waits for more of what
    /// must not wait, and never sleeps. True: it was told, now look again. False: nothing came soon, or
    /// `in_vain()`.
    template <typename InVain> [[nodiscard]] bool told_again_soon(const InVain& in_vain) noexcept {
        if (is_forgotten()) {
            return false;
        }
        const auto told = [this] { return (signal_.load(std::memory_order_relaxed) & urgent) != 0; };
        if (spinning::spin(std::nullopt, budget_.get(), told, in_vain)) {
            budget_.paid();
            return take_signal();
        }
        budget_.wasted();
        return false;
    }
    /// By the work, under the owner's GIL, which it gives up without taking it again. True: the thread serves
    /// no more, the work returns false, and `start` may make another one. False: something was posted
    /// meanwhile, it serves on.
    [[nodiscard]] bool leave() noexcept;
    [[nodiscard]] bool running() const noexcept { return running_.load(std::memory_order_seq_cst); }
    /// Whether it is inside its work. Under the owner's GIL: if not, it holds up nobody who waits for its
    /// end.
    [[nodiscard]] bool working() const noexcept { return working_.load(std::memory_order_acquire); }
    /// By the work, under the owner's GIL: what it does between these may be code of the user's, which may
    /// wait for whoever waits for it.
    void enter_users_code() noexcept { in_users_code_.store(true, std::memory_order_release); }
    void leave_users_code() noexcept { in_users_code_.store(false, std::memory_order_release); }
    /// Under the owner's GIL.
    [[nodiscard]] bool in_users_code() const noexcept {
        return in_users_code_.load(std::memory_order_acquire);
    }
    /// Waits a little for it to leave its work; false: it has not, or is the calling thread. No GIL: the work
    /// may need it.
    bool let_work_end() const noexcept;
    /// After fork, in the child: the thread does not exist there. If it is the one that forked, it ends once
    /// its work returns.
    void forget() noexcept;

  private:
    static void* body(void* self);
    void serve();
    /// On the thread: sleeps until it is told more. False: `until` has passed.
    bool sleep_while(std::uint32_t told, futex::deadline until) noexcept;
    /// On the thread: notes that it does what it was told. False: it was told to stop.
    [[nodiscard]] bool take_signal() noexcept;
    /// On the thread: this is a child that its work has forked, and another thread serves there.
    [[nodiscard]] bool is_forgotten() const noexcept;
    void join() noexcept;
    /// Under `ending_`. False: no thread could be made.
    [[nodiscard]] bool make(work_fn work, void* context, futex::nanoseconds pause) noexcept;

    static constexpr std::uint32_t idle = 0;
    static constexpr std::uint32_t pending = 1;
    static constexpr std::uint32_t urgent = 2;
    static constexpr std::uint32_t asleep = 4; ///< the thread sleeps, or is about to, or has just been woken
    futex::word signal_{idle};
    futex::word stopping_{0};
    std::atomic<bool> running_{false};
    std::atomic<bool> working_{false};
    std::atomic<bool> in_users_code_{false};
    std::mutex ending_;    ///< guards the joining: two at once must not join twice
    bool to_join_ = false; ///< a thread was made and not joined
    work_fn work_ = nullptr;
    void* context_ = nullptr;
    futex::nanoseconds pause_ = grace;
    bool hurried_ = false; ///< what the thread was told last must not wait; its own
    spin_budget budget_;
    pthread_t thread_{};
    std::atomic<std::uint32_t> forgotten_{0}; ///< how often: a thread serves the process it was made in
    std::atomic<int> kernel_id_{0};           ///< of the running thread; 0 before it has begun
};

} // namespace isthmus::core

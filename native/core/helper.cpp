#include "core/helper.hpp"

#include "core/ended_thread.hpp"

#include <csignal>
#include <ctime>
#include <memory>
#include <sys/syscall.h>
#include <unistd.h>

namespace isthmus::core {

namespace {

thread_local const helper* served_here = nullptr;
/// How often it had been forgotten when this thread began.
thread_local std::uint32_t life_here = 0;

} // namespace

helper::presence helper::ensure(work_fn work, void* context, futex::nanoseconds pause) noexcept {
    for (;;) {
        if (running()) {
            return presence::running;
        }
        // Whoever stops it may have to wait for work that needs the GIL we hold: no waiting for that here.
        std::unique_lock guard(ending_, std::try_to_lock);
        if (!guard) {
            return presence::changing;
        }
        if (!running() && !make(work, context, pause)) {
            return presence::impossible;
        }
        guard.unlock();
        // Who has found it locked relied on us: the thread, which left although it was told something, or
        // another one that was to make sure of it. Read-modify-writes, as theirs before they try the lock:
        // if ours comes first, they find it unlocked.
        bool still = true;
        if (running_.compare_exchange_strong(still, true, std::memory_order_acq_rel) ||
            signal_.fetch_or(0, std::memory_order_acq_rel) == idle) {
            return presence::running;
        }
    }
}

bool helper::make(work_fn work, void* context, futex::nanoseconds pause) noexcept {
    join();
    work_ = work;
    context_ = context;
    pause_ = pause;
    stopping_.store(0, std::memory_order_relaxed);
    // Signals belong to the threads of the program; this one only ever runs releases.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running_.store(true, std::memory_order_release); // first: its work may leave
    to_join_ = pthread_create(&thread_, nullptr, &helper::body, this) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!to_join_) {
        running_.store(false, std::memory_order_release);
    }
    return to_join_;
}

bool helper::leave() noexcept {
    // Sequentially consistent, as notify_at_once() and the look at running() after it: either we see the
    // notification, or the poster sees that nobody runs.
    running_.exchange(false, std::memory_order_seq_cst);
    if (signal_.load(std::memory_order_seq_cst) == idle) {
        return true;
    }
    const std::unique_lock guard(ending_, std::try_to_lock);
    if (!guard) {
        return true; // whoever has it may be about to join this thread, and looks afterwards
    }
    running_.store(true, std::memory_order_seq_cst);
    return false;
}

void helper::stop() noexcept {
    if (served_here == this) {
        return;
    }
    const std::lock_guard guard(ending_);
    if (!to_join_) {
        return;
    }
    stopping_.store(1, std::memory_order_release);
    notify_at_once();
    join();
    wait_until_uncounted(kernel_id_.load(std::memory_order_relaxed));
}

bool helper::let_work_end() const noexcept {
    if (served_here == this) {
        return false;
    }
    constexpr futex::nanoseconds patience = 100'000'000; // it may run code of the user's that waits for us
    constexpr timespec pause = {0, 50'000};
    const futex::nanoseconds until = futex::now() + patience;
    while (working() && futex::now() < until) {
        nanosleep(&pause, nullptr);
    }
    return !working();
}

void helper::join() noexcept {
    if (to_join_) {
        pthread_join(thread_, nullptr);
        to_join_ = false;
        running_.store(false, std::memory_order_release);
    }
}

void helper::forget() noexcept {
    std::destroy_at(&ending_); // its holder may be a thread that is not there
    std::construct_at(&ending_);
    forgotten_.fetch_add(1, std::memory_order_relaxed);
    to_join_ = false;
    running_.store(false, std::memory_order_relaxed);
    working_.store(false, std::memory_order_relaxed);
    in_users_code_.store(false, std::memory_order_relaxed);
    signal_.store(idle, std::memory_order_relaxed);
}

void* helper::body(void* self) {
    auto& mine = *static_cast<helper*>(self);
    mine.kernel_id_.store(static_cast<int>(syscall(SYS_gettid)), std::memory_order_relaxed);
    served_here = &mine;
    mine.serve();
    return nullptr;
}

/// `told`: all that it may have been told. Wakes without cause, too.
bool helper::sleep_while(std::uint32_t told, futex::deadline until) noexcept {
    std::uint32_t seen = told;
    // Relaxed: the word alone is exchanged here; what it stands for is read after take_signal().
    const bool said = signal_.compare_exchange_strong(seen, told | asleep, std::memory_order_relaxed);
    return (!said && seen != (told | asleep)) ||
           futex::wait(signal_, told | asleep, until) != futex::wait_result::timed_out;
}

bool helper::take_signal() noexcept {
    // Cleared before the work looks at the inbox: a post after that look notifies again. By an exchange: it
    // reads the notification that it overwrites, so the look sees what that poster had posted.
    const std::uint32_t told = signal_.exchange(idle, std::memory_order_acq_rel) & ~asleep;
    hurried_ = (told & urgent) != 0;
    // After the exchange: stop() wakes nobody if it finds the signal set.
    if (stopping_.load(std::memory_order_acquire) == 0) {
        return true;
    }
    signal_.fetch_or(told, std::memory_order_acq_rel); // for the next thread, or this one's own look
    return false;
}

bool helper::is_forgotten() const noexcept {
    return life_here != forgotten_.load(std::memory_order_relaxed);
}

// Not noexcept: should the work be caught in a finalising CPython, the thread is unwound from there (H16).
void helper::serve() {
    life_here = forgotten_.load(std::memory_order_relaxed);
    const auto told = [this] { return signal_.load(std::memory_order_acquire) & ~asleep; };
    for (;;) {
        while (told() == idle) {
            sleep_while(idle, std::nullopt);
        }
        // Cut short by stop() and notify_at_once() alone: releases during the grace need no wake-up.
        for (const futex::nanoseconds until = pause_ != 0 ? futex::now() + pause_ : 0;
             until != 0 && told() == pending && sleep_while(pending, until);) {
        }
        if (!take_signal()) {
            return;
        }
        working_.store(true, std::memory_order_release);
        const bool more = work_(context_);
        if (is_forgotten()) {
            return;
        }
        working_.store(false, std::memory_order_release);
        if (!more) {
            return;
        }
    }
}

} // namespace isthmus::core

#include "core/helper.hpp"

#include <csignal>
#include <ctime>
#include <sys/syscall.h>
#include <unistd.h>

namespace isthmus::core {

namespace {

/// pthread_join returns a moment before the kernel takes the thread off its count, by which os.fork decides
/// whether to warn.
void wait_until_uncounted(int kernel_id) noexcept {
    constexpr futex::nanoseconds patience = 10'000'000'000; // it needs a processor once more, at most
    constexpr timespec pause = {0, 50'000};
    const futex::nanoseconds until = futex::now() + patience;
    while (syscall(SYS_tgkill, getpid(), kernel_id, 0) == 0 && futex::now() < until) {
        nanosleep(&pause, nullptr); // yielding does not let it end if it waits for another processor
    }
}

thread_local const helper* served_here = nullptr;

} // namespace

bool helper::start(work_fn work, void* context) noexcept {
    if (running()) {
        return true;
    }
    // Whoever stops it may have to wait for work that needs the GIL we hold: no waiting for that here.
    const std::unique_lock guard(ending_, std::try_to_lock);
    if (!guard) {
        return false;
    }
    join();
    work_ = work;
    context_ = context;
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

void helper::stop() noexcept {
    if (served_here == this) {
        return;
    }
    const std::lock_guard guard(ending_);
    if (!to_join_) {
        return;
    }
    stopping_.store(1, std::memory_order_release);
    futex::wake(&stopping_);
    notify();
    join();
    wait_until_uncounted(kernel_id_.load(std::memory_order_relaxed));
}

bool helper::let_work_end() const noexcept {
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

// Not noexcept: should the work be caught in a finalising CPython, the thread is unwound from there (H16).
void helper::serve() {
    for (;;) {
        while (signal_.load(std::memory_order_acquire) == idle) {
            futex::wait(signal_, idle);
        }
        // Interrupted by stop() alone: posts during the grace need no wake-up.
        futex::wait(stopping_, 0, futex::now() + grace);
        if (stopping_.load(std::memory_order_acquire) != 0) {
            return;
        }
        // Cleared before the work looks at the inbox: a post after that look notifies again. By an exchange:
        // it reads the notification that it overwrites, so the look sees what that poster had posted.
        signal_.exchange(idle, std::memory_order_acq_rel);
        working_.store(true, std::memory_order_release);
        const bool more = work_(context_);
        working_.store(false, std::memory_order_release);
        if (!more) {
            return;
        }
    }
}

} // namespace isthmus::core

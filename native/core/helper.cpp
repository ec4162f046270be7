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
    constexpr futex::nanoseconds patience = 1'000'000'000;
    constexpr timespec pause = {0, 50'000};
    const futex::nanoseconds until = futex::now() + patience;
    while (syscall(SYS_tgkill, getpid(), kernel_id, 0) == 0 && futex::now() < until) {
        nanosleep(&pause, nullptr); // yielding does not let it end if it waits for another processor
    }
}

} // namespace

bool helper::start(work_fn work, void* context) noexcept {
    if (running()) {
        return true;
    }
    work_ = work;
    context_ = context;
    stopping_.store(go_on, std::memory_order_relaxed);
    // Signals belong to the threads of the program; this one only ever runs releases.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool made = pthread_create(&thread_, nullptr, &helper::body, this) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    running_.store(made, std::memory_order_release);
    return made;
}

void helper::end(std::uint32_t how) noexcept {
    if (running() && pthread_equal(thread_, pthread_self()) != 0) {
        return;
    }
    const std::lock_guard guard(ending_);
    if (!running()) {
        return;
    }
    stopping_.store(how, std::memory_order_release);
    futex::wake(&stopping_);
    notify();
    pthread_join(thread_, nullptr);
    wait_until_uncounted(kernel_id_.load(std::memory_order_relaxed));
    running_.store(false, std::memory_order_release);
}

void helper::forget() noexcept {
    running_.store(false, std::memory_order_relaxed);
    signal_.store(idle, std::memory_order_relaxed);
}

void* helper::body(void* self) {
    auto& mine = *static_cast<helper*>(self);
    mine.kernel_id_.store(static_cast<int>(syscall(SYS_gettid)), std::memory_order_relaxed);
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
        futex::wait(stopping_, go_on, futex::now() + grace);
        const std::uint32_t stopping = stopping_.load(std::memory_order_acquire);
        if (stopping == stop_at_once) {
            return;
        }
        // Cleared before the work looks at the inbox: a post after that look notifies again.
        signal_.store(idle, std::memory_order_seq_cst);
        if (!work_(context_) || stopping == stop_after_work) {
            return;
        }
    }
}

} // namespace isthmus::core

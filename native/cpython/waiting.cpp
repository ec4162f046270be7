#include "cpython/waiting.hpp"

#include "cpython/keyboard.hpp"

#include <array>
#include <csignal>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace isthmus::py {
namespace {

// All of this is touched by a signal handler: lock-free atomics and constants only.
constinit std::atomic<core::waiter*> main_wait{nullptr};
constinit std::atomic<std::uint32_t> signals_seen{0};

constexpr std::array watched = {SIGINT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2};
std::array<struct sigaction, watched.size()> chained{};

constexpr core::futex::nanoseconds rearm_after = 100'000'000;

void on_signal(int number, siginfo_t* info, void* context) {
    signals_seen.fetch_add(1, std::memory_order_seq_cst);
    if (core::waiter* const wait = main_wait.load(std::memory_order_seq_cst); wait != nullptr) {
        wait->interrupt();
    }
    for (std::size_t i = 0; i < watched.size(); ++i) {
        if (watched[i] != number) {
            continue;
        }
        if ((chained[i].sa_flags & SA_SIGINFO) != 0) {
            chained[i].sa_sigaction(number, info, context);
        } else {
            chained[i].sa_handler(number);
        }
    }
    if (number == SIGINT) {
        note_ctrl_c(); // last: CPython knows of it before the run it ends can return
    }
}

/// Puts our handler in front of whatever handles a watched signal now (signal.signal replaces it each time).
void arm(std::size_t i) noexcept {
    struct sigaction now {};
    if (sigaction(watched[i], nullptr, &now) != 0 || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN ||
        ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_signal)) {
        return;
    }
    chained[i] = now;
    struct sigaction ours = now;
    ours.sa_sigaction = on_signal;
    ours.sa_flags |= SA_SIGINFO;
    sigaction(watched[i], &ours, nullptr);
}

enum class place : std::uint8_t { unknown, main, other };
constinit thread_local place this_thread = place::unknown;

constinit std::atomic<std::uint64_t> lives_ended{0};
/// The kernel's id of the thread that finalises CPython; 0: nobody does.
constinit std::atomic<long> finaliser{0};

/// In a forked child the thread that forked is the main one, and the parent's main thread waits no more.
void after_fork_in_child() noexcept {
    forget_other_threads_runs(this_thread == place::main);
    this_thread = place::main;
    main_wait.store(nullptr);
    if (finaliser.load() != 0) {
        finaliser.store(syscall(SYS_gettid));
    }
}

} // namespace

bool on_main_thread() noexcept {
    if (this_thread == place::unknown) {
        [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
        this_thread = syscall(SYS_gettid) == getpid() ? place::main : place::other;
    }
    return this_thread == place::main;
}

void arm_ctrl_c() noexcept {
    static_assert(watched.front() == SIGINT);
    arm(0);
}

/// Without a thread that runs main's exit handlers it is the main thread, which may wait in a destructor.
static bool finalises() noexcept {
    const long by = finaliser.load();
    return by != 0 ? syscall(SYS_gettid) == by : on_main_thread();
}

core::wait_site site_of_this_thread(const core::interpreter& here) noexcept {
    core::wait_site site;
    for (const core::current_run* each : {&here.current, &here.current_call}) {
        if (each->is_open_on(PyThread_get_thread_ident())) {
            site.interruptions = &each->deliveries();
            site.interruptions_seen = site.interruptions->load(std::memory_order_relaxed);
        }
    }
    if (!here.is_main || !on_main_thread()) {
        return site;
    }
    static core::futex::nanoseconds armed = -rearm_after;
    if (const auto now = core::futex::now(); now - armed >= rearm_after) {
        armed = now;
        for (std::size_t i = 0; i < watched.size(); ++i) {
            arm(i);
        }
    }
    site.current = &main_wait;
    site.signals = &signals_seen;
    site.seen = signals_seen.load(std::memory_order_seq_cst);
    site.main_thread = true;
    return site;
}

void raise_again_later(const char* where) noexcept {
    const bool of_main = PyInterpreterState_Get() == PyInterpreterState_Main() && on_main_thread();
    if (of_main && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0) {
        PyErr_Clear();
        PyErr_SetInterrupt();
    } else {
        PyErr_FormatUnraisable(where);
    }
}

std::uint64_t life() noexcept {
    return lives_ended.load();
}

void begin_life() noexcept {
    finaliser.store(0);
}

void end_life() noexcept {
    lives_ended.fetch_add(1);
}

void finalise_here() noexcept {
    static_cast<void>(on_main_thread()); // registers for forks
    finaliser.store(syscall(SYS_gettid));
}

void reattach(PyThreadState* saved, std::uint64_t began) {
    // The first is so from before main is torn down until CPython is initialised again, the second from then
    // on.
    if ((Py_IsFinalizing() != 0 && !finalises()) || life() != began) {
        for (;;) {
            pause();
        }
    }
    assert(core::held_locks::here() == 0); // invariant 8
    PyEval_RestoreThread(saved);
}

} // namespace isthmus::py

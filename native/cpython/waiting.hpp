/// Waiting without the GIL, and what ends a wait: Ctrl-C, Interpreter.interrupt.
///
/// Python handles signals on the main OS thread, in the main interpreter. CPython's own C handler only sets a
/// flag, so a signal that arrives between "no signal pending" and the thread's sleep would be seen only after
/// the sleep. Hence a handler in front of CPython's, which counts, interrupts the main thread's published
/// wait, and then calls CPython's.
///
/// A run that is interrupted (interruption.hpp) finds the exception set for its next bytecode; a wait of its
/// thread raises it instead.
#pragma once

#include "cpython/compat.hpp"
#include "cpython/refs.hpp"

#include "core/futex.hpp"
#include "core/lock.hpp"
#include "core/registry.hpp"
#include "core/waiter.hpp"

#include <cassert>
#include <cstdint>

namespace isthmus::py {

/// Whether the calling thread is the one that signal handlers of Python run on.
[[nodiscard]] bool on_main_thread() noexcept;

/// Puts our handler of SIGINT in front of the one that is installed now, if any is.
void arm_ctrl_c() noexcept;

/// Where the calling thread waits. For the main OS thread in the main interpreter: interruptible by signals.
/// For the thread of a run, or posted call, in `here`: interruptible by others. Under the GIL of `here`.
[[nodiscard]] core::wait_site site_of_this_thread(const core::interpreter& here) noexcept;

/// Where the exception that is set can't be raised: a KeyboardInterrupt of Ctrl-C comes again at the next
/// bytecode of the main thread, others are reported as `where`.
void raise_again_later(const char* where) noexcept;

/// Counts the lives of CPython: a host may initialise it again after finalising. Any thread.
[[nodiscard]] std::uint64_t life() noexcept;
/// Main attaches.
void begin_life() noexcept;
/// Main's interpreter state is torn down: no thread of this life may attach any more.
void end_life() noexcept;
/// The calling thread runs main's exit handlers: it finalises, and alone may wait and go on while that lasts.
void finalise_here() noexcept;

/// Takes the GIL back after `PyEval_SaveThread` in the life `began`. If CPython is finalising, or has since,
/// other threads must not (H16): they are parked for ever, without touching Python again. Not noexcept:
/// CPython 3.13 may unwind the thread from here.
void reattach(PyThreadState* saved, std::uint64_t began);

/// Calls `operation(site)` with the GIL released until it ends with anything but `interrupted`; in between,
/// signal handlers run. Throws python_error if one raised, or the run was interrupted: the operation has then
/// not happened.
template <typename Operation> core::outcome wait_for(const core::interpreter& here, Operation operation) {
    for (;;) {
        core::wait_site site = site_of_this_thread(here);
        if (site.main_thread) {
            // One that came since the bytecode before this call is behind `seen`: nothing would wake us for
            // it.
            require(PyErr_CheckSignals());
        }
        if (site.interruptions != nullptr && compat::raise_async_exception()) {
            throw python_error{};
        }
        core::outcome how{};
        bool out_of_memory = false;
        assert(core::held_locks::here() == 0); // invariant 8
        const std::uint64_t began = life();
        PyThreadState* const saved = PyEval_SaveThread();
        try {
            how = operation(site);
        } catch (const std::bad_alloc&) {
            out_of_memory = true;
        }
        reattach(saved, began);
        if (out_of_memory) {
            throw std::bad_alloc{};
        }
        if (how != core::outcome::interrupted) {
            return how;
        }
    }
}

} // namespace isthmus::py

/// Ctrl-C while the main OS thread runs another interpreter.
///
/// Python's handler would run when that returns, which may be never. So if it is Python's own, the one that
/// raises KeyboardInterrupt, the innermost run on the main OS thread is interrupted instead; back in the main
/// interpreter, the signal that CPython noted is taken away, so that one KeyboardInterrupt results. A handler
/// of the program's own runs when the main interpreter does, as always.
///
/// The C handler sets a bit and wakes a thread, the watch, which asks the innermost run. A run that has not
/// opened yet, or has closed, can't be asked: the bit stays, and whoever changes which run is innermost and
/// open wakes the watch again. Named invariant K1 "one press, one KeyboardInterrupt": the bit belongs to one
/// *period*, from the main interpreter into another one and back; a handler that comes late, on another
/// thread, can't set that of the next.
#pragma once

#include "core/registry.hpp"

namespace isthmus::py {

/// A run on the calling thread. On all but the main OS thread it does nothing.
class keyboard_scope {
  public:
    /// Under the GIL of `here`, the caller's interpreter. Throws python_error: what handlers of signals
    /// raised that came before.
    keyboard_scope(const core::interpreter& here, core::interpreter_ref target,
                   core::current_run::number run);
    ~keyboard_scope();
    keyboard_scope(const keyboard_scope&) = delete;
    keyboard_scope& operator=(const keyboard_scope&) = delete;

    /// The run has ended as `how` says. Returns whether Ctrl-C was raised in it, or in one inside it. Back in
    /// the caller's interpreter, under its GIL. Throws python_error: what a handler of another signal raised.
    [[nodiscard]] bool leave(const core::current_run::ending& how);

  private:
    friend struct keyboard_access;

    void enter() noexcept;
    bool pop(bool left) noexcept;

    const core::interpreter_ref target_;
    const core::current_run::number run_;
    keyboard_scope* outer_ = nullptr;
    std::uint64_t outer_word_ = 0;
    bool active_ = false;
    bool begins_period_ = false; ///< the caller's interpreter is the main one
    bool has_own_word_ = false;  ///< so it is, or the target
    bool raised_ = false;        ///< in a run inside this one
};

/// SIGINT came. Async-signal-safe.
void note_ctrl_c() noexcept;
/// By every run, once it can be asked.
void run_has_opened() noexcept;
/// In a forked child. `main`: it was the main OS thread that forked.
void forget_other_threads_runs(bool main) noexcept;
/// Joins the watch; the next run on the main OS thread starts another. Any GIL or none.
void rest_keyboard() noexcept;

} // namespace isthmus::py

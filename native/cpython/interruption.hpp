/// Raises exceptions in the run, or else the posted call, of an interpreter from outside, and makes both end
/// when the process exits.
///
/// Whoever asks leaves a request with the run (core/current_run.hpp) and wakes the interpreter's courier.
/// That thread takes the GIL, which may last as long as C code holds it, sets the exception for the next
/// bytecode of the run's thread, and ends that thread's wait, if it is in one.
#pragma once

#include "cpython/refs.hpp"

#include "core/patience.hpp"
#include "core/registry.hpp"

namespace isthmus::py {

/// Code of the user's runs in this scope, on the calling thread, as `run` of `record`'s interpreter, whose
/// GIL it holds: it may be interrupted.
class interruptible {
  public:
    /// `how`: is written at the end.
    interruptible(core::interpreter& record, core::current_run& run, core::current_run::number mine,
                  core::current_run::ending& how) noexcept;
    /// After an exception: what has not been raised by then is dropped.
    ~interruptible();
    /// Once the code has come to its end: what was asked for and no bytecode has met, since there were none
    /// left or the courier was slow, is raised here: python_error.
    void finish();
    interruptible(const interruptible&) = delete;
    interruptible& operator=(const interruptible&) = delete;

  private:
    core::interpreter& record_;
    core::current_run& run_;
    core::current_run::ending& how_;
    bool open_ = true;
};

/// `no_run`: nothing that could be interrupted; `no_thread`: the system gives none to do it.
enum class interrupted : std::uint8_t { asked, no_run, no_thread };
/// Raises `exception`, a class that all interpreters share, in the open run of `record`'s interpreter, or
/// else in its posted call. Returns at once. With any GIL. Throws python_error on the thread of that very
/// run: the exception itself.
[[nodiscard]] interrupted interrupt_run(const core::interpreter_ref& record, PyObject* exception);

/// Has what was asked of the current run delivered. False: there is no courier, and none can be made. No lock
/// held; any GIL or none.
[[nodiscard]] bool wake_courier(core::interpreter& record) noexcept;
/// Joins the courier; afterwards there may be a new one. No GIL: it may need that. Idempotent.
void rest_courier(core::interpreter& record) noexcept;
/// The same for good: once the gate is shut.
void end_courier(core::interpreter& record) noexcept;

/// From now on no run of isthmus begins in `record`, its waits fail, and the code of its current runs, and of
/// the posted call that runs there (`calls` is shut), is interrupted: by a KeyboardInterrupt, at once and
/// again each second until none is left, since code may catch one, or lose it in a finalizer. Gives up when
/// `patience` is over, which lives for ever. Returns at once; the first time counts. Any GIL or none.
void begin_stopping(const core::interpreter_ref& record, core::patience& patience) noexcept;

/// True once no run is left there; false if `until` passed first. No GIL: the runs need theirs, and their
/// callers' too.
[[nodiscard]] bool wait_until_stopped(const core::interpreter& record,
                                      core::futex::nanoseconds until) noexcept;

} // namespace isthmus::py

/// Interpreters come and go: attaching the runtime to one, entering it, closing it, noticing that somebody
/// else ended it.
///
/// The order at a close (hazards H6, H7, H8): refuse new runs and calls, wake the interpreter's own waits,
/// wait for the posted call that runs, shut the gate, wait (no GIL held) until nobody is inside, stop its
/// helper, enter it one last time, drain, run the errands that wait, end it; once its state no longer exists,
/// settle its memory. Keepers of what is still shared stay in place: user code runs until the very end, and
/// invariant 2 holds for it.
#pragma once

#include "cpython/compat.hpp"
#include "cpython/refs.hpp"

#include "core/registry.hpp"

#include <mutex>

namespace isthmus::py {

/// Attaches the runtime to the current interpreter: record, window, BytesIO guard, exit handler; starts the
/// runtime if it is the first, switches placement on if it is the second. Idempotent. `made`: isthmus has
/// just made it, and under which GIL. Throws python_error.
enum class creation : std::uint8_t { by_others, own_gil, shared_gil };
core::interpreter_ref attach_current(creation made = creation::by_others);

/// Large objects of attached interpreters lie in slots from now on (also for a single interpreter). Runs the
/// start-up self-test; if that fails, `copying_because` says why and everything is copied.
void enable_placement() noexcept;
/// Once per process, if everything is copied: a RuntimeWarning in the current interpreter. Called by what
/// users call, not by attaching: that may happen in an interpreter whose warnings nobody sees or filters.
/// Throws python_error for a warning that was turned into an error.
void warn_if_copying();

/// Starts the helper of `here` if it has none and another interpreter is there to need it. Cheap. Under its
/// GIL.
void start_helper(core::interpreter& here) noexcept;

/// Starts the helper that runs the errands of `here`, needed from its first loan on even if no other
/// interpreter is there: a message that holds one may be dropped without the GIL. Under its GIL. False: no
/// thread could be made.
bool start_errands(core::interpreter& here) noexcept;

/// Makes sure that somebody runs the calls that are posted to `of`, before a post and after it: its helper,
/// or who closes it. Any GIL. False: no thread can be made.
[[nodiscard]] bool start_calls(core::interpreter& of) noexcept;

/// Lets go of the thread states that no thread uses: the one that attaching left there
/// (compat::idle_wants_anchor), and those of threads that the system refused. Idempotent. In
/// `record`'s interpreter, under its GIL, once no other thread can enter: CPython ends it only with one
/// thread state left.
void drop_anchor(core::interpreter& record) noexcept;

/// Makes the calling thread run in another interpreter until the end of the scope. The caller is attached to
/// one, and has made sure (gate, or being the only closer) that `target` does not end meanwhile. Throws
/// std::bad_alloc.
class entered {
  public:
    explicit entered(core::interpreter& target) : entered(thread_for(target)) {}
    /// Takes over what `thread_for` made, on the same thread.
    explicit entered(PyThreadState* inside) noexcept;
    ~entered();
    entered(const entered&) = delete;
    entered& operator=(const entered&) = delete;

    /// What entering needs and could fail to get, made before. Throws std::bad_alloc.
    [[nodiscard]] static PyThreadState* thread_for(core::interpreter& target);

    /// The thread state in `target`; ending the interpreter consumes it.
    [[nodiscard]] PyThreadState* thread() const noexcept { return inside_; }
    /// Ends `target` with this scope's thread state; the scope then only returns to the caller's interpreter.
    void end_interpreter() noexcept;

  private:
    PyThreadState* outside_ = nullptr;
    PyThreadState* inside_ = nullptr;
};

/// Ends an interpreter that isthmus or the standard library made. Idempotent. The caller is attached to
/// another interpreter. `threads`: it has daemon threads, or others that CPython would not join.
/// `closer_closing`: so is the caller's interpreter, which ended the wait for a posted call. Throws
/// python_error: something else ended that wait. Whatever ended it, the interpreter stays closing, and the
/// next call goes on. Throws std::bad_alloc: it is as it was before, unless a posted call was waited for.
enum class close_result { closed, already, main, current, running, threads, closer_closing };
close_result close_interpreter(const core::interpreter_ref& record);

/// A run is under way: the interpreter can't be closed before the scope ends. `ok()` false: it is closing or
/// gone.
class run_permit {
  public:
    explicit run_permit(core::interpreter_ref record) noexcept;
    ~run_permit();
    run_permit(const run_permit&) = delete;
    run_permit& operator=(const run_permit&) = delete;
    [[nodiscard]] bool ok() const noexcept { return ok_; }

  private:
    core::interpreter_ref record_;
    bool ok_ = false;
};

/// Whether code runs in its `__main__`, by isthmus or the standard library. Any GIL.
[[nodiscard]] bool is_running(core::interpreter& record) noexcept;

/// Settles the memory of interpreters that somebody else ended. With any GIL.
void reap();

/// The reason why everything is copied; empty while twins are made.
[[nodiscard]] const char* copying_because() noexcept;

} // namespace isthmus::py

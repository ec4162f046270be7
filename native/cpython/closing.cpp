#include "cpython/current.hpp"
#include "cpython/exit.hpp"
#include "cpython/threads.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "core/posted_call.hpp"

#include <climits>
#include <memory>
#include <utility>

namespace isthmus::py {
namespace {

/// How many threads are just closing an interpreter.
constinit core::futex::word closers{0};

class closing_scope {
  public:
    closing_scope() noexcept { closers.fetch_add(1); }
    ~closing_scope() {
        closers.fetch_sub(1);
        core::futex::wake(&closers, INT_MAX);
    }
    closing_scope(const closing_scope&) = delete;
    closing_scope& operator=(const closing_scope&) = delete;
};

/// Until it is released, the interpreter is left for the next closer at the end of the scope.
class unfinished {
  public:
    explicit unfinished(core::interpreter& record) noexcept : record_(&record) {}
    ~unfinished() {
        if (record_ != nullptr) {
            record_->close_left.store(true);
        }
    }
    unfinished(const unfinished&) = delete;
    unfinished& operator=(const unfinished&) = delete;
    void release() noexcept { record_ = nullptr; }

  private:
    core::interpreter* record_;
};

/// What ending an interpreter needs and could fail to get, made before.
class last_thread {
  public:
    last_thread() noexcept = default;
    ~last_thread() { give_back(); }
    last_thread(const last_thread&) = delete;
    last_thread& operator=(const last_thread&) = delete;
    /// Throws std::bad_alloc. Idempotent.
    void make(core::interpreter& record) {
        if (made_ == nullptr) {
            made_ = entered::thread_for(record);
        }
    }
    [[nodiscard]] PyThreadState* take() noexcept { return std::exchange(made_, nullptr); }
    void give_back() {
        if (made_ != nullptr) {
            const entered inside(take()); // to delete it
        }
    }

  private:
    PyThreadState* made_ = nullptr;
};

/// `closed` if nothing is in the way.
close_result obstacle(core::interpreter& record) {
    return is_running(record)                 ? close_result::running
           : has_threads_nobody_joins(record) ? close_result::threads
                                              : close_result::closed;
}

/// `closed`: the close that has begun may go on. All else, std::bad_alloc too, leaves the interpreter open.
close_result can_begin(core::interpreter& record, last_thread& last) {
    close_result result = close_result::closed;
    try {
        result = obstacle(record);
        if (result == close_result::closed && !record.calls.anybody_inside()) {
            last.make(record); // not while a call runs: deleting it again would wait for the GIL
        }
    } catch (const std::bad_alloc&) {
        record.now.store(core::interpreter::phase::open);
        throw;
    }
    if (result != close_result::closed) {
        record.now.store(core::interpreter::phase::open);
    }
    return result;
}

/// The posted call that runs may be endless, so this is a wait like any other: Ctrl-C and interruptions end
/// it. False: the interpreter that waits is being closed. Throws python_error.
bool let_call_end(core::interpreter& record) {
    static constinit core::spin_budget spinning;
    const core::interpreter& here = *current_interpreter();
    const std::shared_ptr<core::party> waiting = here.side;
    return wait_for(here, [&](core::wait_site& site) {
               return record.calls_over.wait(*waiting, std::nullopt, site, spinning);
           }) == core::outcome::ok;
}

/// `closed`: it may be ended. Everything else leaves it closing: it takes neither runs nor calls any more.
close_result refuse_and_wait(core::interpreter& record, bool resumed, last_thread& last) {
    unfinished left(record);
    record.calls.shut(); // first: the end of the one that runs must let no other one begin
    core::tell_if_calls_are_over(record);
    record.side->begin_close();
    const bool waits = !record.calls_over.given();
    if (waits) {
        last.give_back(); // a call got in meanwhile: afterwards it would count as a thread that stays
    }
    if (waits && !let_call_end(record)) {
        return close_result::closer_closing;
    }
    // The call may have left a thread behind.
    const close_result result = waits || resumed ? obstacle(record) : close_result::closed;
    if (result == close_result::closed) {
        last.make(record);
        left.release();
    }
    return result;
}

} // namespace

void wait_for_closers(core::patience& patience) {
    Py_BEGIN_ALLOW_THREADS;
    static_cast<void>(patience.outlasts([](core::futex::nanoseconds until) {
        for (std::uint32_t now = closers.load(); now != 0; now = closers.load()) {
            if (core::futex::wait(closers, now, until) == core::futex::wait_result::timed_out) {
                return false;
            }
        }
        return true;
    }));
    Py_END_ALLOW_THREADS;
}

close_result close_interpreter(const core::interpreter_ref& record) {
    using phase = core::interpreter::phase;
    if (record->is_main) {
        return close_result::main;
    }
    if (current_interpreter() == record.get()) {
        return close_result::current;
    }
    const closing_scope scope; // before it is said to close: who is told so waits for us
    phase now = phase::open;
    const bool begun = record->now.compare_exchange_strong(now, phase::closing);
    if (!begun && !record->close_left.exchange(false)) {
        return close_result::already;
    }
    last_thread last;
    if (begun) {
        if (const close_result result = can_begin(*record, last); result != close_result::closed) {
            return result;
        }
    }
    if (const close_result result = refuse_and_wait(*record, !begun, last); result != close_result::closed) {
        return result;
    }
    record->ended_here.store(true);
    keep_everybody_out(*record);
    {
        entered inside(last.take());
        drain(*record);
        core::run_errands(*record);
        if (PyErr_Occurred() != nullptr) { // of an extension's exporter, whose release must not fail
            PyErr_WriteUnraisable(nullptr);
        }
        drop_anchor(*record); // here and not in the exit handler alone: user code can take that away
        inside.end_interpreter();
    }
    settle_gone(record);
    return close_result::closed;
}

} // namespace isthmus::py

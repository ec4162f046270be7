#include "cpython/exit.hpp"

#include "cpython/current.hpp"
#include "cpython/interruption.hpp"
#include "cpython/kept_names.hpp"
#include "cpython/keyboard.hpp"
#include "cpython/streams.hpp"
#include "cpython/threads.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "core/death_notice.hpp"
#include "core/errand.hpp"
#include "core/immortal.hpp"
#include "core/inspector.hpp"
#include "core/stats.hpp"

#include <cstdio>
#include <unistd.h>

namespace isthmus::py {
namespace {

constexpr char still_runs[] = "still runs at exit and can't be interrupted";
constexpr core::futex::nanoseconds for_runs_to_stop = 5'000'000'000;

/// The exit's, for all that runs then. Threads that outlive the exit's look at it.
struct exit_patience : core::patience {
    exit_patience() noexcept : patience(for_runs_to_stop) {}
};

/// Precondition: attached. Gives the GIL up while it waits.
void stop_helper(core::interpreter& of) {
    Py_BEGIN_ALLOW_THREADS;
    core::helper_of(of).stop();
    Py_END_ALLOW_THREADS;
}

/// Likewise; for the last time.
void stop_threads(core::interpreter& of) {
    stop_helper(of);
    Py_BEGIN_ALLOW_THREADS;
    end_courier(of);
    Py_END_ALLOW_THREADS;
}

/// The process exits. False: runs in `record` did not stop in time.
bool stop_runs(const core::interpreter_ref& record, core::patience& patience) {
    begin_stopping(record, patience); // unless they were told with the others
    bool stopped = false;
    Py_BEGIN_ALLOW_THREADS;
    stopped =
        patience.outlasts([&](core::futex::nanoseconds until) { return wait_until_stopped(*record, until); });
    Py_END_ALLOW_THREADS;
    return stopped;
}

/// The process exits. False: the posted call that runs in `record` did not stop in time.
bool stop_calls(const core::interpreter_ref& record, core::patience& patience) {
    record->calls.shut();
    if (!record->calls.anybody_inside()) {
        return true;
    }
    begin_stopping(record, patience);
    bool stopped = false;
    Py_BEGIN_ALLOW_THREADS;
    stopped = patience.outlasts(
        [&](core::futex::nanoseconds until) { return record->calls.wait_until_empty(until); });
    Py_END_ALLOW_THREADS;
    return stopped;
}

/// CPython would tear the interpreter down under the thread that runs in it, and crash. Everything orderly
/// that is left is done first: the other exit handlers, and flushing.
[[noreturn]] void leave_without_finalising(const core::interpreter& record, const char* why) {
    PySys_WriteStderr("isthmus: interpreter %lld %s; leaving without finalising\n",
                      static_cast<long long>(record.number), why);
    const ref atexit = ref::steal(PyImport_ImportModule("atexit"));
    if (!atexit || !ref::steal(PyObject_CallMethod(atexit.get(), "_run_exitfuncs", nullptr))) {
        PyErr_WriteUnraisable(nullptr);
    }
    flush_streams();
    std::fflush(nullptr);
    core::the_inspector().stop(); // as exit() would
    _exit(1);
}

/// The interpreter is about to end and its helper is stopped: what was posted to it is run, what comes later
/// is settled by who posts it. In the interpreter, under its GIL.
void last_errands(core::interpreter& here) {
    drain(here);
    core::run_errands(here);
    core::end_errands(here);
}

/// Isthmus made it, and hence ends it.
bool is_ours(const core::interpreter& record) noexcept {
    return !record.is_main && record.created_here;
}

/// The process exits: one that isthmus made ends, or the process without it.
void end_at_exit(const core::interpreter_ref& record, core::patience& patience) try {
    if (!stop_calls(record, patience)) {
        leave_without_finalising(*record, still_runs);
    }
    close_result result = close_interpreter(record);
    if (result == close_result::running && stop_runs(record, patience)) {
        result = close_interpreter(record);
    }
    if (result == close_result::threads) {
        record->side->begin_close(); // wakes those that wait in isthmus
        core::patience for_threads(for_runs_to_stop);
        if (end_threads_nobody_joins(*record, for_threads)) {
            result = close_interpreter(record);
        }
    }
    if (result == close_result::running || result == close_result::threads) {
        leave_without_finalising(*record, still_runs);
    }
} catch (const std::bad_alloc&) {
    leave_without_finalising(*record, "can't be ended for want of memory");
}

void main_exits(core::interpreter& main) {
    finalise_here();
    core::patience& patience = core::immortal<exit_patience>();
    patience.renew(for_runs_to_stop); // a host may initialise and finalise CPython several times
    // All at once: code in one may wait for what it runs in another.
    core::interpreters().for_each([&](const core::interpreter_ref& record) {
        record->calls.shut();
        if (record->calls.anybody_inside() || (is_ours(*record) && is_running(*record))) {
            begin_stopping(record, patience);
        }
    });
    core::interpreters().for_each([&](const core::interpreter_ref& record) {
        if (is_ours(*record)) {
            end_at_exit(record, patience);
        }
    });
    wait_for_closers(patience);
    // Those that somebody else made end later, when no helper can take a GIL any more.
    core::interpreters().for_each([&](const core::interpreter_ref& record) {
        if (!stop_calls(record, patience)) {
            leave_without_finalising(*record, still_runs);
        }
        keep_everybody_out(*record);
    });
    rest_keyboard();
    last_errands(main);
    main.death->give();
}

bool nothing_is_lent(const core::interpreter& here) noexcept {
    return here.loans.load() == 0 && here.errands.empty();
}

/// Whether the helper of `here` runs code of the user's, or may get some to run. Under its GIL.
bool may_run_users_code(core::interpreter& here) noexcept {
    return !nothing_is_lent(here) || core::helper_of(here).in_users_code();
}

/// Alone again: nobody else posts any more, and a process with extra threads gets a warning from os.fork. A
/// helper that only settles releases of slots is joined, however long that takes. One that has, or may get,
/// code of the user's to run is not waited for long, since the caller may hold locks of the user's: it ends
/// by itself.
void rest_helper(core::interpreter& here) {
    drain(here);
    if (here.courier.running()) {
        Py_BEGIN_ALLOW_THREADS;
        rest_courier(here);
        Py_END_ALLOW_THREADS;
    }
    here.resting.store(true);
    core::helper& helper = core::helper_of(here);
    if (may_run_users_code(here) && helper.working()) {
        Py_BEGIN_ALLOW_THREADS;
        helper.let_work_end();
        Py_END_ALLOW_THREADS;
    }
    if (may_run_users_code(here)) {
        helper.notify();
    } else {
        stop_helper(here);
        if (!here.errands.empty()) {
            start_errands(here); // posted by another thread of `here` while this one waited
        }
    }
}

/// For the helper of `here`, under its GIL: whether its time has come.
bool may_rest(const core::interpreter& here) noexcept {
    return here.resting.load() && nothing_is_lent(here) && core::interpreters().count() == 1;
}

/// A helper that had to wait longer for the GIL keeps it from somebody.
constexpr core::futex::nanoseconds gil_at_hand = 1'000'000;

/// For the helper of `here`, under its GIL, which it gives up meanwhile: waits a little for the next call,
/// and so needs neither another thread state nor a wake-up for it.
bool told_again(core::interpreter& here, core::helper& helper) {
    if (here.resting.load() || !helper.hurried()) {
        return false;
    }
    PyThreadState* const thread = PyEval_SaveThread();
    const bool told = helper.told_again_soon([&] { return here.entry.is_shut(); });
    PyEval_RestoreThread(thread); // inside the gate: nothing of this interpreter ends
    return told || (!here.runs_errands && !here.errands.empty());
}

bool serve(void* record) {
    return enter_and_drain(*static_cast<core::interpreter*>(record));
}

core::interpreter_ref record_in(PyObject* capsule) {
    const auto* held = static_cast<core::interpreter_ref*>(PyCapsule_GetPointer(capsule, nullptr));
    return held != nullptr ? *held : nullptr;
}

PyObject* on_exit(PyObject* self, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const core::interpreter_ref record = record_in(self);
        if (record == nullptr || record->exited.exchange(true)) {
            Py_RETURN_NONE;
        }
        let_go_of_names(*record);
        if (record->is_main) {
            main_exits(*record);
        } else {
            auto open = core::interpreter::phase::open;
            record->now.compare_exchange_strong(open, core::interpreter::phase::closing);
            record->calls.shut();
            record->side->begin_close();
            drain(*record);
            keep_everybody_out(*record);
            last_errands(*record);
            drop_anchor(*record);
            if (!record->ended_here.load()) {
                record->death->give(); // nobody else tells us when its state is gone
            }
        }
        Py_RETURN_NONE;
    });
}

PyMethodDef on_exit_method = {"isthmus_exit", on_exit, METH_NOARGS, nullptr};

} // namespace

void keep_everybody_out(core::interpreter& record) {
    record.calls.shut();
    record.entry.shut();
    Py_BEGIN_ALLOW_THREADS;
    record.entry.wait_until_empty();
    Py_END_ALLOW_THREADS;
    stop_threads(record);
}

void register_exit(const core::interpreter_ref& record) {
    auto held = std::make_unique<core::interpreter_ref>(record);
    const ref capsule = require(PyCapsule_New(held.get(), nullptr, [](PyObject* c) {
        delete static_cast<core::interpreter_ref*>(PyCapsule_GetPointer(c, nullptr));
    }));
    static_cast<void>(held.release());
    const ref handler = require(PyCFunction_New(&on_exit_method, capsule.get()));
    const ref atexit = require(PyImport_ImportModule("atexit"));
    check(PyObject_CallMethod(atexit.get(), "register", "O", handler.get()));
}

void settle_gone(const core::interpreter_ref& record) {
    stop_threads(*record);
    if (record->owns_view()) {
        forget_copies(*record->view);
    }
    core::interpreters().gone(record);
    core::interpreter* const here = current_interpreter();
    if (core::interpreters().count() == 1 && here != nullptr) {
        rest_keyboard();
        rest_helper(*here);
    }
}

bool enter_and_drain(core::interpreter& record) {
    if (!record.entry.enter()) {
        return false;
    }
    const bool slots_wait = record.view != nullptr && !record.view->box.empty();
    if (!slots_wait && record.errands.empty() && !may_rest(record)) {
        record.entry.leave();
        return true;
    }
    bool rests = false;
    PyThreadState* const thread = PyThreadState_New(static_cast<PyInterpreterState*>(record.state));
    if (thread != nullptr) {
        record.helping.store(thread);
        const core::futex::nanoseconds asked = core::futex::now();
        PyEval_AcquireThread(thread);
        const bool at_hand = core::futex::now() - asked < gil_at_hand;
        core::statistics::add(core::counter::helper_entries);
        core::helper& helper = core::helper_of(record);
        do {
            drain(record);
            helper.enter_users_code();
            if (!record.runs_errands) {
                core::run_errands(record);
            }
            helper.leave_users_code();
        } while (at_hand && told_again(record, helper));
        PyThreadState_Clear(thread);
        rests = may_rest(record) && helper.leave();
        record.helping.store(nullptr);
        PyThreadState_DeleteCurrent();
    } else {
        core::helper_of(record).notify(); // no memory: what waits is behind no first post that would wake us
    }
    record.entry.leave();
    return !rests;
}

void start_helper(core::interpreter& here) noexcept {
    core::helper& helper = core::helper_of(*here.view);
    if (helper.running() || core::interpreters().count() < 2 || here.entry.is_shut()) [[likely]] {
        return;
    }
    core::interpreter* const served = core::interpreters().server_of(*here.view);
    if (served != nullptr) {
        helper.start(serve, served);
    }
}

bool start_errands(core::interpreter& here) noexcept {
    core::helper& helper = core::helper_of(here);
    if (helper.running() || here.entry.is_shut()) {
        return true; // or whoever shut it runs them
    }
    const auto found = helper.ensure(serve, &here);
    if (found == core::helper::presence::impossible) {
        return false;
    }
    if (found == core::helper::presence::running && !here.errands.empty()) {
        helper.notify();
    }
    return true;
}

bool start_calls(core::interpreter& of) noexcept {
    core::helper& helper = core::helper_of(of);
    if (helper.running() || !of.entry.enter()) {
        return true;
    }
    const auto found = helper.ensure(serve, &of);
    of.entry.leave();
    return found != core::helper::presence::impossible;
}

} // namespace isthmus::py

#include "cpython/lifecycle.hpp"

#include "cpython/bytesio_guard.hpp"
#include "cpython/current.hpp"
#include "cpython/exit.hpp"
#include "cpython/gil_hooks.hpp"
#include "cpython/hook.hpp"
#include "cpython/selftest.hpp"
#include "cpython/threads.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "core/start.hpp"
#include "core/stats.hpp"

#include <cassert>
#include <climits>
#include <new>
#include <utility>

namespace isthmus::py {
namespace {

constinit std::atomic<const char*> why_copying{""};

constexpr char token_name[] = "isthmus.interpreter";

/// Mark in the interpreter's own dict: tells a record's interpreter from a later one with the same address
/// and id, which initialising CPython again produces. Borrowed; null without one.
PyObject* token_of(PyInterpreterState* state) noexcept {
    PyObject* const dict = PyInterpreterState_GetDict(state);
    return dict != nullptr ? PyDict_GetItemString(dict, token_name) : nullptr;
}

void set_token(PyInterpreterState* state, std::uint64_t identity) {
    PyObject* const dict = PyInterpreterState_GetDict(state);
    if (dict == nullptr) {
        fail(PyExc_RuntimeError, "this interpreter has no room for extension data");
    }
    const ref value = require(PyLong_FromUnsignedLongLong(identity));
    require(PyDict_SetItemString(dict, token_name, value.get()));
    if (state == PyInterpreterState_Main()) {
        begin_life();
        // Dies with the interpreter state, after everything of the user's.
        static constexpr char name[] = "isthmus.life";
        static char no_memory_of_ours = 0;
        const ref end = require(PyCapsule_New(&no_memory_of_ours, name, [](PyObject*) { end_life(); }));
        require(PyDict_SetItemString(dict, name, end.get()));
    }
}

/// Whether an interpreter that somebody else made has a GIL of its own. Only the standard library's private
/// module tells.
bool has_own_gil(PyInterpreterState* state) {
    const ref module = require(PyImport_ImportModule("_interpreters"));
    const ref number = require(PyLong_FromLongLong(PyInterpreterState_GetID(state)));
    const ref config = require(PyObject_CallMethod(module.get(), "get_config", "O", number.get()));
    const ref gil = require(PyObject_GetAttrString(config.get(), "gil"));
    return PyUnicode_CompareWithASCIIString(gil.get(), "own") == 0;
}

void start_runtime() {
    static std::once_flag once;
    std::call_once(once, [] {
        core::start();
        install_gil_hooks();
        if (!core::memory().started()) {
            why_copying.store(core::memory().space().why());
        }
    });
    if (core::memory().started() && !install_hook()) {
        throw python_error{};
    }
}

/// Drops what an earlier life of CPython left in the registry under the same address and id.
core::interpreter_ref known(PyInterpreterState* state) {
    core::interpreter_ref record = core::interpreters().find(state, PyInterpreterState_GetID(state));
    if (record == nullptr) {
        return nullptr;
    }
    PyObject* const token = token_of(state);
    if (token != nullptr && PyLong_AsUnsignedLongLong(token) == record->identity) {
        return record;
    }
    PyErr_Clear(); // a token that is no integer: not ours
    settle_gone(record);
    return nullptr;
}

void keep_anchor(core::interpreter& record) noexcept {
    if (PyThreadState* const thread = PyThreadState_New(static_cast<PyInterpreterState*>(record.state))) {
        record.anchor = thread;
        record.anchor_id = PyThreadState_GetID(thread);
    }
}

/// The address alone may be that of a later one. In its interpreter, with no other thread there.
bool is_listed(const PyThreadState* thread, std::uint64_t id) noexcept {
    PyThreadState* each = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    while (each != nullptr && (each != thread || PyThreadState_GetID(each) != id)) {
        each = PyThreadState_Next(each);
    }
    return each != nullptr;
}

} // namespace

const char* copying_because() noexcept {
    return why_copying.load();
}

core::interpreter_ref attach_current(creation made) {
    start_runtime();
    reap();
    PyInterpreterState* const state = PyInterpreterState_Get();
    if (core::interpreter_ref record = known(state); record != nullptr) {
        return record;
    }
    const bool is_main = state == PyInterpreterState_Main();
    const bool created_here = made != creation::by_others;
    const bool own_gil = created_here ? made == creation::own_gil : is_main || has_own_gil(state);
    core::interpreter_ref record =
        core::interpreters().attach(state, PyInterpreterState_GetID(state), own_gil, is_main, created_here);
    record->whence.store(compat::whence(state));
    try {
        set_token(state, record->identity);
        record->twins_allowed.store(install_bytesio_guard(&is_foreign_twin));
        register_exit(record);
        if (compat::idle_wants_anchor && !is_main) {
            keep_anchor(*record);
        }
    } catch (...) {
        core::interpreters().gone(record);
        throw;
    }
    if (core::interpreters().count() > 1) {
        enable_placement();
    }
    return record;
}

void enable_placement() noexcept {
    if (placement_is_on() || *copying_because() != '\0') {
        return;
    }
    const char* reason = "";
    if (!switch_placement_on()) {
        reason = "large objects can't be placed in shared memory here";
    } else if (const char* broken = run_selftest(); *broken != '\0') {
        reason = broken;
    }
    if (*reason != '\0') {
        why_copying.store(reason);
        forbid_twins();
    }
}

void warn_if_copying() {
    static std::atomic<bool> warned{false};
    const char* const reason = copying_because();
    if (*reason != '\0' && !warned.exchange(true)) {
        require(PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "isthmus copies everything: %s", reason));
    }
}

void drop_anchor(core::interpreter& record) noexcept {
    auto* const thread = static_cast<PyThreadState*>(std::exchange(record.anchor, nullptr));
    // A finalising CPython deletes the newest thread state of the interpreters that are left, whosever it is.
    if (thread != nullptr && (Py_IsFinalizing() == 0 || is_listed(thread, record.anchor_id))) {
        PyThreadState_Clear(thread);
        PyThreadState_Delete(thread);
    }
    forget_refused_threads();
}

PyThreadState* entered::thread_for(core::interpreter& target) {
    PyThreadState* const made = PyThreadState_New(static_cast<PyInterpreterState*>(target.state));
    return made != nullptr ? made : throw std::bad_alloc{};
}

entered::entered(PyThreadState* inside) noexcept : inside_(inside) {
    assert(core::held_locks::here() == 0); // invariant 8
    outside_ = PyThreadState_Swap(inside_);
}

entered::~entered() {
    if (inside_ == nullptr) {
        PyThreadState_Swap(outside_);
        return;
    }
    PyThreadState_Clear(inside_);
    PyThreadState_Swap(outside_);
    PyThreadState_Delete(inside_);
}

void entered::end_interpreter() noexcept {
    Py_EndInterpreter(std::exchange(inside_, nullptr));
}

namespace {

/// Sequentially consistent both: who waits for the runs to end began the close before it read their number.
void end_run(core::interpreter& record) noexcept {
    if (record.runs.fetch_sub(1) == 1 && record.side->closing()) {
        core::futex::wake(&record.runs, INT_MAX);
    }
}

} // namespace

run_permit::run_permit(core::interpreter_ref record) noexcept : record_(std::move(record)) {
    record_->runs.fetch_add(1);
    ok_ = record_->open() && !record_->side->closing();
    if (!ok_) {
        end_run(*record_);
    }
}

run_permit::~run_permit() {
    if (ok_) {
        end_run(*record_);
    }
}

bool is_running(core::interpreter& record) noexcept {
    return record.runs.load() != 0 || compat::is_running_main(static_cast<PyInterpreterState*>(record.state));
}

void reap() {
    core::interpreters().for_each([](const core::interpreter_ref& record) {
        if (!record->is_main && !record->ended_here.load() &&
            compat::look_up(record->number) != record->state) {
            settle_gone(record);
        }
    });
}

} // namespace isthmus::py

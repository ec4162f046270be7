#include "cpython/threads.hpp"

#include "cpython/lifecycle.hpp"

#include <ctime>

namespace isthmus::py {
namespace {

constexpr core::futex::nanoseconds a_while = 100'000'000;

void let_others_run() {
    constexpr timespec one_millisecond = {0, 1'000'000};
    Py_BEGIN_ALLOW_THREADS;
    nanosleep(&one_millisecond, nullptr);
    Py_END_ALLOW_THREADS;
}

/// In `record`'s interpreter. The Thread objects of its `threading`, if that was imported; else an empty
/// list.
ref known_threads() {
    const ref name = require(PyUnicode_FromString("threading"));
    const ref threading = ref::steal(PyImport_GetModule(name.get()));
    if (!threading) {
        require(PyErr_Occurred() != nullptr ? -1 : 0);
        return require(PyList_New(0));
    }
    return require(PyObject_CallMethod(threading.get(), "enumerate", nullptr));
}

bool is_daemon(PyObject* thread) {
    const ref daemon = require(PyObject_GetAttrString(thread, "daemon"));
    const int truth = PyObject_IsTrue(daemon.get());
    require(truth);
    return truth != 0;
}

/// In `record`'s interpreter. Threads that the end of an interpreter joins are in `threading` and no daemons.
bool somebody_stays(const core::interpreter& record, const PyThreadState* mine) {
    Py_ssize_t others = 0;
    PyThreadState* each = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; each != nullptr; each = PyThreadState_Next(each)) {
        others += each != mine && each != record.anchor && each != record.helping.load() ? 1 : 0;
    }
    if (others == 0) {
        return false;
    }
    const ref known = known_threads();
    Py_ssize_t joined = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(known.get()); ++i) {
        joined += is_daemon(PyList_GET_ITEM(known.get(), i)) ? 0 : 1;
    }
    // `threading` lists its main thread too, which has no thread state of its own while nothing runs.
    return others > (joined > 0 ? joined - 1 : 0);
}

bool somebody_stays_in(core::interpreter& record) {
    const entered inside(record);
    try {
        return somebody_stays(record, inside.thread());
    } catch (const python_error&) {
        PyErr_Clear(); // a `threading` of the user's own making
        return false;
    }
}

void raise_exit_in_daemons(core::interpreter& record) {
    const entered inside(record);
    try {
        const ref known = known_threads();
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(known.get()); ++i) {
            PyObject* const thread = PyList_GET_ITEM(known.get(), i);
            if (is_daemon(thread)) {
                const ref number = require(PyObject_GetAttrString(thread, "ident"));
                PyThreadState_SetAsyncExc(PyLong_AsUnsignedLong(number.get()), PyExc_SystemExit);
            }
        }
    } catch (const python_error&) {
    }
    PyErr_Clear();
}

bool nobody_stays_by(core::interpreter& record, core::futex::nanoseconds until) {
    while (somebody_stays_in(record)) {
        if (core::futex::now() > until) {
            return false;
        }
        let_others_run();
    }
    return true;
}

} // namespace

bool has_threads_nobody_joins(core::interpreter& record) {
    return !nobody_stays_by(record, core::futex::now() + a_while);
}

bool end_daemon_threads(core::interpreter& record, core::futex::nanoseconds until) {
    raise_exit_in_daemons(record);
    return nobody_stays_by(record, until);
}

} // namespace isthmus::py

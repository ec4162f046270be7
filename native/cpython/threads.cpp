#include "cpython/threads.hpp"

#include "cpython/compat.hpp"
#include "cpython/lifecycle.hpp"

#include <algorithm>
#include <ctime>
#include <vector>

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

/// In `record`'s interpreter: the threads that its end joins, those of `threading` that are no daemons.
/// Its main thread is listed too, but is no other thread.
std::vector<unsigned long> joined_threads() {
    std::vector<unsigned long> numbers;
    const ref known = known_threads();
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(known.get()); ++i) {
        PyObject* const thread = PyList_GET_ITEM(known.get(), i);
        const ref number = require(PyObject_GetAttrString(thread, "ident"));
        if (number.get() != Py_None && !is_daemon(thread)) {
            numbers.push_back(PyLong_AsUnsignedLong(number.get()));
            require(PyErr_Occurred() != nullptr ? -1 : 0);
        }
    }
    return numbers;
}

/// In `record`'s interpreter: the threads that nobody joins, `mine` aside.
std::vector<unsigned long> staying_threads(const core::interpreter& record, const PyThreadState* mine) {
    std::vector<unsigned long> numbers;
    PyThreadState* each = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; each != nullptr; each = PyThreadState_Next(each)) {
        if (each != mine && each != record.anchor && each != record.helping.load() &&
            each != record.visiting.load() && !compat::is_of_refused_thread(*each)) {
            numbers.push_back(each->thread_id);
        }
    }
    if (!numbers.empty()) {
        const std::vector<unsigned long> joined = joined_threads();
        std::erase_if(numbers, [&](unsigned long n) { return std::ranges::find(joined, n) != joined.end(); });
    }
    return numbers;
}

/// How many stay; SystemExit is raised in them if they are told to go. Throws std::bad_alloc.
std::size_t count_staying(core::interpreter& record, bool told_to_go) {
    const entered inside(record);
    try {
        const std::vector<unsigned long> staying = staying_threads(record, inside.thread());
        for (const unsigned long number : staying) {
            if (told_to_go) {
                PyThreadState_SetAsyncExc(number, PyExc_SystemExit);
            }
        }
        return staying.size();
    } catch (const python_error&) {
        const bool without_memory = PyErr_ExceptionMatches(PyExc_MemoryError) != 0;
        PyErr_Clear(); // else it is of a `threading` of the user's own making, which says nothing of any
                       // thread
        if (without_memory) {
            throw std::bad_alloc{};
        }
        return 0;
    }
}

bool nobody_stays_by(core::interpreter& record, core::futex::nanoseconds until) {
    while (count_staying(record, false) != 0) {
        if (core::futex::now() > until) {
            return false;
        }
        let_others_run();
    }
    return true;
}

} // namespace

void forget_refused_threads() noexcept {
    PyThreadState* next = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    while (PyThreadState* const each = next) {
        next = PyThreadState_Next(each);
        if (compat::is_of_refused_thread(*each)) {
            PyThreadState_Delete(each);
        }
    }
}

bool has_threads_nobody_joins(core::interpreter& record) {
    return !nobody_stays_by(record, core::futex::now() + a_while);
}

bool end_threads_nobody_joins(core::interpreter& record, core::patience& patience) {
    constexpr core::futex::nanoseconds for_them_to_end = 1'000'000'000;
    core::futex::nanoseconds told = -for_them_to_end;
    return patience.outlasts([&](core::futex::nanoseconds until) {
        if (core::futex::now() >= told + for_them_to_end) {
            told = core::futex::now();
            count_staying(record, true);
        }
        return nobody_stays_by(record, until);
    });
}

} // namespace isthmus::py

#include "module/running.hpp"

#include "module/arguments.hpp"
#include "module/interpreter_object.hpp"
#include "module/pending_calls.hpp"
#include "module/run.hpp"

#include "cpython/interruption.hpp"

#include <memory>

namespace isthmus::module {
namespace {

using py::guarded;
using py::ref;
using py::require;

PyObject* only_argument(PyObject* args, const char* function) {
    PyObject* argument = nullptr;
    if (PyArg_UnpackTuple(args, function, 1, 1, &argument) == 0) {
        throw py::python_error{};
    }
    return argument;
}

job source_job(PyObject* o, PyObject* args, PyObject* shared, const char* function) {
    PyObject* const source = only_argument(args, function);
    job made = running_source(*interpreter_object::of(o).module, source, shared, function);
    made.as_itself = true;
    return made;
}

job call_job(PyObject* o, PyObject* args, PyObject* keywords, const char* function) {
    if (PyTuple_GET_SIZE(args) == 0) {
        py::fail(PyExc_TypeError, "%s() misses what to call", function);
    }
    PyObject* const callable = PyTuple_GET_ITEM(args, 0);
    if (PyCallable_Check(callable) == 0) {
        py::fail(PyExc_TypeError, "%s() takes a callable, not %R", function, callable);
    }
    const ref rest = require(PyTuple_GetSlice(args, 1, PyTuple_GET_SIZE(args)));
    return calling(*interpreter_object::of(o).module, callable, rest.get(), keywords);
}

ref do_here(PyObject* o, job work) {
    const ref held = ref::share(o);
    interpreter_object& self = interpreter_object::of(o);
    return run_job(*self.module, live_record_of(self), std::move(work));
}

// ---- in a thread

/// Held by the thread's target until the thread has ended, or was never started.
struct thread_task {
    ref interpreter; ///< keeps it open
    job work;
};

thread_task* task_in(PyObject* capsule) noexcept {
    return static_cast<thread_task*>(PyCapsule_GetPointer(capsule, nullptr));
}

/// The thread's target: does the work once.
PyObject* do_task(PyObject* capsule, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        thread_task* const task = task_in(capsule);
        if (task == nullptr || !task->interpreter) {
            py::fail(PyExc_RuntimeError, "the target of this thread has run already");
        }
        const ref interpreter = std::move(task->interpreter);
        static_cast<void>(do_here(interpreter.get(), std::move(task->work)));
        Py_RETURN_NONE;
    });
}

// A thread is named after its target.
PyMethodDef call_target = {"call", do_task, METH_NOARGS, nullptr};
PyMethodDef run_target = {"run", do_task, METH_NOARGS, nullptr};

// ---- interrupting

/// Throws python_error unless it is one of the builtin exceptions, which all interpreters share, and needs no
/// arguments.
void check_exception(PyObject* exception) {
    const ref builtins = require(PyImport_ImportModule("builtins"));
    ref known;
    if (PyExceptionClass_Check(exception)) {
        known = py::optional_attribute(builtins.get(), PyExceptionClass_Name(exception));
    }
    const bool is_shared =
        PyType_Check(exception) &&
        (PyType_GetFlags(reinterpret_cast<PyTypeObject*>(exception)) & Py_TPFLAGS_HEAPTYPE) == 0;
    if (known.get() != exception || !is_shared) {
        py::fail(PyExc_TypeError, "interrupt() takes a builtin exception class, not %R", exception);
    }
    py::check(PyObject_CallNoArgs(exception)); // a TypeError here rather than there
}

ref start_thread(PyObject* o, job work, PyMethodDef& target) {
    static_cast<void>(live_record_of(interpreter_object::of(o))); // a closed one is refused here
    auto task = std::make_unique<thread_task>(thread_task{ref::share(o), std::move(work)});
    const ref capsule = require(PyCapsule_New(task.get(), nullptr, [](PyObject* c) { delete task_in(c); }));
    static_cast<void>(task.release());
    const ref function = require(PyCFunction_New(&target, capsule.get()));
    const ref threading = require(PyImport_ImportModule("threading"));
    ref thread = require(PyObject_CallMethod(threading.get(), "Thread", "OO", Py_None, function.get()));
    py::check(PyObject_CallMethod(thread.get(), "start", nullptr));
    return thread;
}

} // namespace

PyObject* interpreter_run(PyObject* o, PyObject* args, PyObject* shared) {
    return guarded<PyObject*>(nullptr,
                              [&] { return do_here(o, source_job(o, args, shared, "run")).release(); });
}

PyObject* interpreter_exec(PyObject* o, PyObject* code) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static_cast<void>(do_here(o, running_script(*interpreter_object::of(o).module, code)));
        Py_RETURN_NONE;
    });
}

PyObject* interpreter_call(PyObject* o, PyObject* args, PyObject* keywords) {
    return guarded<PyObject*>(nullptr,
                              [&] { return do_here(o, call_job(o, args, keywords, "call")).release(); });
}

PyObject* interpreter_post(PyObject* o, PyObject* args, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&] {
        job work = call_job(o, args, keywords, "post");
        return post(o, std::move(work.call)).release();
    });
}

PyObject* interpreter_run_in_thread(PyObject* o, PyObject* args, PyObject* shared) {
    return guarded<PyObject*>(nullptr, [&] {
        return start_thread(o, source_job(o, args, shared, "run_in_thread"), run_target).release();
    });
}

PyObject* interpreter_call_in_thread(PyObject* o, PyObject* args, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&] {
        return start_thread(o, call_job(o, args, keywords, "call_in_thread"), call_target).release();
    });
}

PyObject* interpreter_prepare_main(PyObject* o, PyObject* args, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        PyObject* mapping = nullptr;
        if (PyArg_UnpackTuple(args, "prepare_main", 0, 1, &mapping) == 0) {
            throw py::python_error{};
        }
        // As dict() takes it: a mapping, or pairs.
        auto* const dict = reinterpret_cast<PyObject*>(&PyDict_Type);
        const ref names = require(
            mapping != nullptr && mapping != Py_None ? PyObject_CallOneArg(dict, mapping) : PyDict_New());
        if (keywords != nullptr) {
            require(PyDict_Update(names.get(), keywords));
        }
        if (PyDict_GET_SIZE(names.get()) == 0) {
            py::fail(PyExc_ValueError, "prepare_main() misses the names to set");
        }
        return do_here(o, setting_names(*interpreter_object::of(o).module, names.get())).release();
    });
}

PyObject* interpreter_interrupt(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [given] = parse<1>("interrupt", {"exc"}, 0, args, count, keywords);
        PyObject* const exception = given != nullptr && given != Py_None ? given : PyExc_KeyboardInterrupt;
        check_exception(exception);
        switch (py::interrupt_run(live_record_of(interpreter_object::of(o)), exception)) {
        case py::interrupted::asked:
            Py_RETURN_TRUE;
        case py::interrupted::no_run:
            Py_RETURN_FALSE;
        case py::interrupted::no_thread:
            break;
        }
        py::fail(PyExc_RuntimeError, "can't start a thread that interrupts the run");
    });
}

PyObject* interpreter_reset_main(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&] {
        job work;
        work.reset = true;
        return do_here(o, std::move(work)).release();
    });
}

} // namespace isthmus::module

#include "module/interpreters.hpp"

#include "module/run.hpp"

#include "crossing/crossing.hpp"

#include "cpython/current.hpp"
#include "cpython/lifecycle.hpp"
#include "cpython/twin.hpp"

#include <structmember.h>

namespace isthmus::module {
namespace {

using py::guarded;
using py::ref;
using py::require;

struct interpreter_object {
    PyObject_HEAD;
    PyObject* weak_references;
    std::int64_t number;
    state* module;
    core::interpreter_ref record; ///< null until it is first needed
    bool counted;                 ///< this object keeps the interpreter open
};

interpreter_object& self_of(PyObject* o) noexcept {
    return *reinterpret_cast<interpreter_object*>(o);
}

void drop_handle(const core::interpreter_ref& record) {
    // The last handle closes an interpreter that isthmus made, once it is idle (PEP 734). Without a thread
    // state (a message dropped by a thread of the host) it stays open until the process exits.
    if (record->handles.fetch_sub(1) == 1 && record->created_here &&
        PyThreadState_GetUnchecked() != nullptr && py::current_interpreter() != nullptr) {
        PyObject* const saved = PyErr_GetRaisedException();
        py::close_interpreter(record);
        PyErr_SetRaisedException(saved);
    }
}

void count_handle(interpreter_object& self) noexcept {
    if (!self.counted && self.record != self.module->here) {
        self.record->handles.fetch_add(1);
        self.counted = true;
    }
}

core::interpreter_ref& record_of(interpreter_object& self) {
    if (self.record == nullptr) {
        self.record = resolve(*self.module, self.number);
        count_handle(self);
    }
    return self.record;
}

/// The record of one that still exists.
core::interpreter_ref& live_record_of(interpreter_object& self) {
    core::interpreter_ref& record = record_of(self);
    if (record->now.load() == core::interpreter::phase::gone) {
        py::fail(self.module->not_found_error, "interpreter %lld does not exist any more",
                 static_cast<long long>(self.number));
    }
    return record;
}

struct travelling_interpreter final : core::attachment {
    explicit travelling_interpreter(core::interpreter_ref r) : record(std::move(r)) {
        record->handles.fetch_add(1);
    }
    ~travelling_interpreter() override { drop_handle(record); }
    core::interpreter_ref record;
};

void interpreter_dealloc(PyObject* o) {
    interpreter_object& self = self_of(o);
    PyTypeObject* const type = Py_TYPE(o);
    if (self.weak_references != nullptr) {
        PyObject_ClearWeakRefs(o);
    }
    const core::interpreter_ref record = std::move(self.record);
    const bool counted = self.counted;
    std::destroy_at(&self.record);
    type->tp_free(o);
    Py_DECREF(type);
    if (counted) {
        drop_handle(record);
    }
}

PyObject* interpreter_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static const char* names[] = {"id", nullptr};
        long long number = 0;
        if (PyArg_ParseTupleAndKeywords(args, kwargs, "L", const_cast<char**>(names), &number) == 0) {
            throw py::python_error{};
        }
        state& s = state_of_type(type);
        ref made = make_interpreter(s, number);
        static_cast<void>(live_record_of(self_of(made.get())));
        return made.release();
    });
}

PyObject* interpreter_close(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        interpreter_object& self = self_of(o);
        const core::interpreter_ref record = record_of(self);
        const auto number = static_cast<long long>(self.number);
        switch (py::close_interpreter(record)) {
        case py::close_result::closed:
        case py::close_result::already:
            break;
        case py::close_result::main:
            py::fail(self.module->interpreter_error, "the main interpreter can't be closed");
        case py::close_result::current:
            py::fail(self.module->interpreter_error, "interpreter %lld can't close itself", number);
        case py::close_result::running:
            py::fail(self.module->interpreter_error, "interpreter %lld is running", number);
        }
        Py_RETURN_NONE;
    });
}

PyObject* interpreter_is_running(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        interpreter_object& self = self_of(o);
        const core::interpreter_ref& record = live_record_of(self);
        return PyBool_FromLong(record == self.module->here || py::is_running(*record) ? 1 : 0);
    });
}

PyObject* run(PyObject* o, PyObject* args, PyObject* names, const char* function, bool as_itself) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        PyObject* source = nullptr;
        if (PyArg_UnpackTuple(args, function, 1, 1, &source) == 0) {
            throw py::python_error{};
        }
        if (!PyUnicode_Check(source)) {
            py::fail(PyExc_TypeError, "%s() takes source text as str, not %.200s", function,
                     Py_TYPE(source)->tp_name);
        }
        const ref held = ref::share(o);
        run_job(*self_of(o).module, live_record_of(self_of(o)), {source, names, as_itself});
        Py_RETURN_NONE;
    });
}

PyObject* interpreter_run(PyObject* o, PyObject* args, PyObject* shared) {
    return run(o, args, shared, "run", true);
}
PyObject* interpreter_exec(PyObject* o, PyObject* source) {
    const ref args = ref::steal(PyTuple_Pack(1, source));
    return args ? run(o, args.get(), nullptr, "exec", false) : nullptr;
}

PyObject* interpreter_prepare_main(PyObject* o, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        PyObject* mapping = nullptr;
        if (PyArg_UnpackTuple(args, "prepare_main", 0, 1, &mapping) == 0) {
            throw py::python_error{};
        }
        const ref names = require(PyDict_New());
        if (mapping != nullptr && mapping != Py_None) {
            require(PyDict_Update(names.get(), mapping));
        }
        if (kwargs != nullptr) {
            require(PyDict_Update(names.get(), kwargs));
        }
        const ref held = ref::share(o);
        run_job(*self_of(o).module, live_record_of(self_of(o)), {nullptr, names.get(), false});
        Py_RETURN_NONE;
    });
}

PyObject* interpreter_enter(PyObject* o, PyObject*) {
    return Py_NewRef(o);
}

PyObject* interpreter_id(PyObject* o, void*) {
    return PyLong_FromLongLong(self_of(o).number);
}

PyObject* interpreter_name(PyObject* o, void*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const std::string& name = record_of(self_of(o))->name;
        return name.empty() ? Py_NewRef(Py_None)
                            : PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size()));
    });
}

PyObject* interpreter_repr(PyObject* o) {
    return PyUnicode_FromFormat("Interpreter(%lld)", static_cast<long long>(self_of(o).number));
}

Py_hash_t interpreter_hash(PyObject* o) {
    return static_cast<Py_hash_t>(self_of(o).number);
}

PyObject* interpreter_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyBool_FromLong((self_of(a).number == self_of(b).number) == (operation == Py_EQ) ? 1 : 0);
}

PyObject* interpreter_reduce(PyObject* o, PyObject*) {
    return Py_BuildValue("O(L)", Py_TYPE(o), static_cast<long long>(self_of(o).number));
}

PyCFunction with_keywords(PyCFunctionWithKeywords f) noexcept {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

constexpr char close_doc[] = "close()\n--\n\n"
                             "End the interpreter. Its own waits in isthmus fail with InterpreterError and "
                             "its threads are joined first. What it sent stays\n"
                             "valid. Closing a closed one does nothing. InterpreterError if it is running, "
                             "the current one or the main one.";

PyMethodDef interpreter_methods[] = {
    {"close", interpreter_close, METH_NOARGS, close_doc},
    {"destroy", interpreter_close, METH_NOARGS, close_doc},
    {"is_running", interpreter_is_running, METH_NOARGS,
     "is_running()\n--\n\nWhether code runs in its `__main__`; always true for the current one. "
     "InterpreterNotFoundError if closed."},
    {"run", with_keywords(interpreter_run), METH_VARARGS | METH_KEYWORDS,
     "run($self, source, /, **shared)\n--\n\n"
     "Run source text in its `__main__` on this thread, after setting the given names there (PEP 554).\n\n"
     "An uncaught exception whose class is exactly a builtin one deriving from Exception, or "
     "KeyboardInterrupt, arrives as itself,\n"
     "caused by an ExecutionFailed with the remote traceback; all else arrives as ExecutionFailed. "
     "InterpreterError if it is\n"
     "running or closed; NotShareableError if a value can't cross (nothing has run then)."},
    {"exec", interpreter_exec, METH_O,
     "exec($self, code, /)\n--\n\nRun source text in its `__main__` (PEP 734). Every uncaught exception "
     "arrives as ExecutionFailed."},
    {"prepare_main", with_keywords(interpreter_prepare_main), METH_VARARGS | METH_KEYWORDS,
     "prepare_main($self, ns=None, /, **kw)\n--\n\nSet names in its `__main__` to any values that can be "
     "sent."},
    {"__enter__", interpreter_enter, METH_NOARGS, nullptr},
    {"__exit__", interpreter_close, METH_VARARGS, nullptr},
    {"__reduce__", interpreter_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef interpreter_properties[] = {
    {"id", interpreter_id, nullptr, "CPython's id of the interpreter.", nullptr},
    {"name", interpreter_name, nullptr, "The name given to create(), or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef interpreter_members[] = {{"__weaklistoffset__", Py_T_PYSSIZET,
                                      offsetof(interpreter_object, weak_references), Py_READONLY, nullptr},
                                     {nullptr, 0, 0, 0, nullptr}};

template <typename Function> void* slot(Function* f) noexcept {
    return reinterpret_cast<void*>(f);
}

PyType_Slot interpreter_slots[] = {
    {Py_tp_new, slot(interpreter_new)},
    {Py_tp_dealloc, slot(interpreter_dealloc)},
    {Py_tp_methods, interpreter_methods},
    {Py_tp_getset, interpreter_properties},
    {Py_tp_members, interpreter_members},
    {Py_tp_repr, slot(interpreter_repr)},
    {Py_tp_hash, slot(interpreter_hash)},
    {Py_tp_richcompare, slot(interpreter_compare)},
    {Py_tp_doc, const_cast<char*>("An interpreter of this process; one object per id.")},
    {0, nullptr}};

PyType_Spec interpreter_spec = {"isthmus.Interpreter", sizeof(interpreter_object), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, interpreter_slots};

} // namespace

void add_interpreter_type(PyObject* module) {
    state& s = state_of(module);
    s.interpreter_type = reinterpret_cast<PyTypeObject*>(
        require(PyType_FromModuleAndSpec(module, &interpreter_spec, nullptr)).release());
    require(PyModule_AddType(module, s.interpreter_type));
}

ref make_interpreter(state& s, std::int64_t number) {
    const ref key = require(PyLong_FromLongLong(number));
    ref known = require(PyObject_CallMethod(s.interpreters_by_number, "get", "O", key.get()));
    if (known.get() != Py_None) {
        return known;
    }
    ref made = require(s.interpreter_type->tp_alloc(s.interpreter_type, 0));
    interpreter_object& self = self_of(made.get());
    std::construct_at(&self.record, core::interpreters().find_number(number));
    self.number = number;
    self.module = &s;
    if (self.record != nullptr) {
        count_handle(self);
    }
    require(PyObject_SetItem(s.interpreters_by_number, key.get(), made.get()));
    return made;
}

core::interpreter_ref resolve(const state& s, std::int64_t number) {
    py::reap();
    if (core::interpreter_ref known = core::interpreters().find_number(number); known != nullptr) {
        return known;
    }
    PyInterpreterState* const found = py::compat::look_up(number);
    if (found == nullptr) {
        py::fail(s.not_found_error, "there is no interpreter with id %lld", static_cast<long long>(number));
    }
    core::interpreter target;
    target.state = found;
    bool attached = false;
    core::interpreter_ref record;
    {
        const py::entered inside(target);
        try {
            record = py::attach_current();
            attached = true;
        } catch (const py::python_error&) {
            PyErr_Clear();
        }
    }
    if (!attached) {
        py::fail(s.interpreter_error, "isthmus can't attach to interpreter %lld",
                 static_cast<long long>(number));
    }
    return record;
}

std::unique_ptr<core::attachment> pack_interpreter(state& s, PyObject* o) {
    return Py_TYPE(o) == s.interpreter_type
               ? std::make_unique<travelling_interpreter>(live_record_of(self_of(o)))
               : nullptr;
}

ref unpack_interpreter(state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<travelling_interpreter*>(&travelling);
    if (found == nullptr) {
        return {};
    }
    ref made = make_interpreter(s, found->record->number);
    if (interpreter_object& self = self_of(made.get()); self.record == nullptr) {
        self.record = found->record; // it ended on the way: the object is that of a closed one
        count_handle(self);
    }
    return made;
}

} // namespace isthmus::module

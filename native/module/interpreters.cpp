#include "module/interpreters.hpp"

#include "module/attaching.hpp"
#include "module/closed_event.hpp"
#include "module/interpreter_object.hpp"
#include "module/running.hpp"

#include "cpython/current.hpp"
#include "cpython/lifecycle.hpp"
#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include <structmember.h>

namespace isthmus::module {
namespace {

using py::guarded;
using py::method;
using py::ref;
using py::require;
using py::slot;

void drop_handle(const core::interpreter_ref& record) {
    // The last handle closes an interpreter that isthmus made, once it is idle (PEP 734). Without a thread
    // state (a message dropped by a thread of the host) it stays open until the process exits.
    // So it does if a posted call runs whose end somebody has given up waiting for.
    const bool in_vain = record->close_left.load() && record->calls.anybody_inside();
    if (record->handles.fetch_sub(1) == 1 && record->created_here && !in_vain &&
        PyThreadState_GetUnchecked() != nullptr && py::current_interpreter() != nullptr) {
        PyObject* const saved = PyErr_GetRaisedException();
        try {
            py::close_interpreter(record);
        } catch (const py::python_error&) {
            py::raise_again_later("Exception ignored while the last reference to an interpreter closed it");
        } catch (const std::bad_alloc&) { // the next handle that ends closes it, or the exit
        }
        PyErr_SetRaisedException(saved);
    }
}

void count_handle(interpreter_object& self) noexcept {
    if (!self.counted && self.record != self.module->here) {
        self.record->handles.fetch_add(1);
        self.counted = true;
    }
}

/// Holds one handle, which the maker has counted.
struct travelling_interpreter final : core::attachment {
    explicit travelling_interpreter(core::interpreter_ref r) noexcept
        : record(std::move(r)), standard(record->created_here ? -1 : record->number) {}
    ~travelling_interpreter() override { drop_handle(record); }
    /// One that somebody else made is counted by CPython, which needs a GIL.
    [[nodiscard]] std::unique_ptr<core::attachment> again() const override {
        if (!record->created_here) {
            return nullptr;
        }
        auto another = std::make_unique<travelling_interpreter>(record);
        record->handles.fetch_add(1);
        return another;
    }
    core::interpreter_ref record;
    standard_reference standard;
};

void interpreter_dealloc(PyObject* o) {
    interpreter_object& self = interpreter_object::of(o);
    PyTypeObject* const type = Py_TYPE(o);
    if (self.weak_references != nullptr) {
        PyObject_ClearWeakRefs(o);
    }
    const core::interpreter_ref record = std::move(self.record);
    const bool counted = self.counted;
    const standard_reference standard = std::move(self.standard); // ends after the object
    std::destroy_at(&self.record);
    std::destroy_at(&self.standard);
    Py_XDECREF(self.closed);
    type->tp_free(o);
    Py_DECREF(type);
    if (counted) {
        drop_handle(record);
    }
}

/// An int, as in `concurrent.interpreters`: nothing that only converts to one.
std::int64_t number_in(PyObject* given) {
    if (!PyLong_Check(given)) {
        py::fail(PyExc_TypeError, "an interpreter's id must be int, not %.200s", Py_TYPE(given)->tp_name);
    }
    const long long number = PyLong_AsLongLong(given);
    require(number == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
    if (number < 0) {
        py::fail(PyExc_ValueError, "an interpreter's id is not negative: %lld", number);
    }
    return number;
}

PyObject* interpreter_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static const char* names[] = {"id", nullptr};
        PyObject* given = nullptr;
        if (PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char**>(names), &given) == 0) {
            throw py::python_error{};
        }
        ref made = make_interpreter(state_of_type(type), number_in(given));
        static_cast<void>(live_record_of(interpreter_object::of(made.get())));
        return made.release();
    });
}

PyObject* interpreter_close(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        interpreter_object& self = interpreter_object::of(o);
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
        case py::close_result::threads:
            py::fail(self.module->interpreter_error,
                     "interpreter %lld has daemon threads, which must end before it is closed", number);
        case py::close_result::closer_closing:
            py::fail(self.module->interpreter_error, "this interpreter is being closed");
        }
        Py_RETURN_NONE;
    });
}

PyObject* interpreter_is_running(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        interpreter_object& self = interpreter_object::of(o);
        const core::interpreter_ref& record = live_record_of(self);
        return PyBool_FromLong(record == self.module->here || py::is_running(*record) ? 1 : 0);
    });
}

PyObject* interpreter_enter(PyObject* o, PyObject*) {
    return Py_NewRef(o);
}

PyObject* interpreter_id(PyObject* o, void*) {
    return PyLong_FromLongLong(interpreter_object::of(o).number);
}

PyObject* interpreter_name(PyObject* o, void*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const std::optional<std::string>& name = record_of(interpreter_object::of(o))->name;
        return name ? PyUnicode_FromStringAndSize(name->data(), static_cast<Py_ssize_t>(name->size()))
                    : Py_NewRef(Py_None);
    });
}

PyObject* interpreter_whence(PyObject* o, void*) {
    return PyUnicode_FromString(interpreter_object::of(o).whence);
}

PyObject* interpreter_closed(PyObject* o, void*) {
    return guarded<PyObject*>(nullptr, [&] {
        interpreter_object& self = interpreter_object::of(o);
        if (self.closed == nullptr) {
            std::shared_ptr<core::death_notice> notice;
            if (self.record != nullptr || py::compat::look_up(self.number) != nullptr) {
                notice = record_of(self)->death;
            } else { // gone before anybody here knew it
                notice = core::death_notice::create();
                notice->give();
            }
            ref made = make_closed_event(*self.module, std::move(notice));
            if (self.closed == nullptr) { // another thread may have been here
                self.closed = made.release();
            }
        }
        return Py_NewRef(self.closed);
    });
}

PyObject* interpreter_repr(PyObject* o) {
    return PyUnicode_FromFormat("Interpreter(%lld)",
                                static_cast<long long>(interpreter_object::of(o).number));
}

Py_hash_t interpreter_hash(PyObject* o) {
    return static_cast<Py_hash_t>(interpreter_object::of(o).number);
}

PyObject* interpreter_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyBool_FromLong(
        (interpreter_object::of(a).number == interpreter_object::of(b).number) == (operation == Py_EQ) ? 1
                                                                                                       : 0);
}

PyObject* interpreter_reduce(PyObject* o, PyObject*) {
    return Py_BuildValue("O(L)", Py_TYPE(o), static_cast<long long>(interpreter_object::of(o).number));
}

constexpr char close_doc[] = "close($self)\n--\n\n"
                             "End the interpreter. Its own waits in isthmus fail with InterpreterError and "
                             "its threads are joined first. What it sent stays\n"
                             "valid. Closing a closed one does nothing. InterpreterError if it is running, "
                             "the current one or the main one.\n\n"
                             "A posted call that runs is waited for, those that wait fail. Ctrl-C, or "
                             "`interrupt` of the run that waits, ends that wait:\n"
                             "the interpreter then takes no more runs or calls, and is closed by the next "
                             "close(), or at exit.";

PyMethodDef interpreter_methods[] = {
    {"close", interpreter_close, METH_NOARGS, close_doc},
    {"destroy", interpreter_close, METH_NOARGS, close_doc},
    {"is_running", interpreter_is_running, METH_NOARGS,
     "is_running($self)\n--\n\nWhether code runs in its `__main__`; always true for the current one. "
     "InterpreterNotFoundError if closed."},
    {"run", method(interpreter_run), METH_VARARGS | METH_KEYWORDS, run_doc},
    {"exec", interpreter_exec, METH_O, exec_doc},
    {"call", method(interpreter_call), METH_VARARGS | METH_KEYWORDS, call_doc},
    {"post", method(interpreter_post), METH_VARARGS | METH_KEYWORDS, post_doc},
    {"call_in_thread", method(interpreter_call_in_thread), METH_VARARGS | METH_KEYWORDS, call_in_thread_doc},
    {"run_in_thread", method(interpreter_run_in_thread), METH_VARARGS | METH_KEYWORDS, run_in_thread_doc},
    {"prepare_main", method(interpreter_prepare_main), METH_VARARGS | METH_KEYWORDS, prepare_main_doc},
    {"reset_main", interpreter_reset_main, METH_NOARGS, reset_main_doc},
    {"interrupt", method(interpreter_interrupt), METH_FASTCALL | METH_KEYWORDS, interrupt_doc},
    {"__enter__", interpreter_enter, METH_NOARGS, nullptr},
    {"__exit__", interpreter_close, METH_VARARGS, py::exit_doc},
    {"__reduce__", interpreter_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef interpreter_properties[] = {
    {"id", interpreter_id, nullptr, "CPython's id of the interpreter.", nullptr},
    {"name", interpreter_name, nullptr, "The name given to create(), or None.", nullptr},
    {"whence", interpreter_whence, nullptr,
     "Who made the interpreter: 'runtime init' (the main one), 'C-API' (isthmus, or a host), '_interpreters "
     "module' (the standard\n"
     "library), 'legacy C-API', 'cross-interpreter C-API' or 'unknown'.",
     nullptr},
    {"closed", interpreter_closed, nullptr,
     "A ClosedEvent that is set once the interpreter is gone, whoever ended it: can be waited for, and is a "
     "case of `select`.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef interpreter_members[] = {{"__weaklistoffset__", Py_T_PYSSIZET,
                                      offsetof(interpreter_object, weak_references), Py_READONLY, nullptr},
                                     {nullptr, 0, 0, 0, nullptr}};

PyType_Slot interpreter_slots[] = {
    {Py_tp_new, slot(interpreter_new)},
    {Py_tp_dealloc, slot(interpreter_dealloc)},
    {Py_tp_methods, interpreter_methods},
    {Py_tp_getset, interpreter_properties},
    {Py_tp_members, interpreter_members},
    {Py_tp_repr, slot(interpreter_repr)},
    {Py_tp_hash, slot(interpreter_hash)},
    {Py_tp_richcompare, slot(interpreter_compare)},
    {Py_tp_doc,
     const_cast<char*>("Interpreter(id)\n--\n\nAn interpreter of this process; one object per id.")},
    {0, nullptr}};

PyType_Spec interpreter_spec = {"isthmus.Interpreter", sizeof(interpreter_object), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, interpreter_slots};

} // namespace

void add_interpreter_type(PyObject* module) {
    add_type(module, interpreter_spec, state_of(module).interpreter_type);
}

core::interpreter_ref& record_of(interpreter_object& self) {
    if (self.record == nullptr) {
        self.record = resolve(*self.module, self.number);
        count_handle(self);
    }
    return self.record;
}

core::interpreter_ref& live_record_of(interpreter_object& self) {
    core::interpreter_ref& record = record_of(self);
    if (!record->open()) {
        py::reap(); // somebody else may have ended it since
    }
    if (record->now.load() == core::interpreter::phase::gone) {
        py::fail(self.module->not_found_error, "interpreter %lld does not exist any more",
                 static_cast<long long>(self.number));
    }
    return record;
}

ref make_interpreter(state& s, std::int64_t number) {
    const ref key = require(PyLong_FromLongLong(number));
    ref known = require(PyObject_CallMethod(s.interpreters_by_number, "get", "O", key.get()));
    if (known.get() != Py_None) {
        return known;
    }
    ref made = require(s.interpreter_type->tp_alloc(s.interpreter_type, 0));
    interpreter_object& self = interpreter_object::of(made.get());
    std::construct_at(&self.record, core::interpreters().find_number(number));
    // An interpreter's own object must not end it.
    std::construct_at(&self.standard, number != s.here->number ? number : -1);
    self.number = number;
    self.module = &s;
    PyInterpreterState* const alive = py::compat::look_up(number);
    self.whence = alive != nullptr ? py::compat::whence(alive) : "unknown";
    if (self.record != nullptr) {
        count_handle(self);
    }
    require(PyObject_SetItem(s.interpreters_by_number, key.get(), made.get()));
    return made;
}

standard_reference::standard_reference(std::int64_t number) noexcept {
    PyInterpreterState* const alive = number >= 0 ? py::compat::look_up(number) : nullptr;
    if (alive != nullptr && py::compat::made_by_standard_library(alive) && py::compat::count_object(alive)) {
        number_ = number;
    }
}

standard_reference::~standard_reference() {
    if (number_ < 0 || PyThreadState_GetUnchecked() == nullptr) {
        return;
    }
    PyObject* const saved = PyErr_GetRaisedException();
    if (PyInterpreterState* const alive = py::compat::look_up(number_); alive != nullptr) {
        py::compat::discount_object(alive);
    }
    PyErr_SetRaisedException(saved);
}

std::unique_ptr<core::attachment> adopt_handle(const core::interpreter_ref& record) {
    try {
        return std::make_unique<travelling_interpreter>(record);
    } catch (const std::bad_alloc&) {
        drop_handle(record);
        throw;
    }
}

std::unique_ptr<core::attachment> pack_interpreter(state& s, PyObject* o) {
    if (Py_TYPE(o) != s.interpreter_type) {
        return nullptr;
    }
    const core::interpreter_ref& record = live_record_of(interpreter_object::of(o));
    auto travelling = std::make_unique<travelling_interpreter>(record);
    record->handles.fetch_add(1);
    return travelling;
}

ref unpack_interpreter(state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<travelling_interpreter*>(&travelling);
    if (found == nullptr) {
        return {};
    }
    ref made = make_interpreter(s, found->record->number);
    if (interpreter_object& self = interpreter_object::of(made.get()); self.record == nullptr) {
        self.record = found->record; // it ended on the way: the object is that of a closed one
        count_handle(self);
    }
    return made;
}

} // namespace isthmus::module

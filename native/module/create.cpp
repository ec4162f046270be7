/// Making and listing interpreters.

#include "module/arguments.hpp"
#include "module/attaching.hpp"
#include "module/interpreters.hpp"
#include "module/making.hpp"

#include "crossing/crossing.hpp"

#include "cpython/lifecycle.hpp"
#include "cpython/twin.hpp"

namespace isthmus::module {
namespace {

using py::guarded;
using py::ref;
using py::require;

/// sys.path of the creator, strings only: other entries are for its own import hooks.
core::message own_path(state& s) {
    PyObject* const path = PySys_GetObject("path");
    const ref kept = require(PyList_New(0));
    for (Py_ssize_t i = 0; path != nullptr && PyList_Check(path) && i < PyList_GET_SIZE(path); ++i) {
        if (PyUnicode_CheckExact(PyList_GET_ITEM(path, i))) {
            require(PyList_Append(kept.get(), PyList_GET_ITEM(path, i)));
        }
    }
    const ref entries = require(PyList_AsTuple(kept.get()));
    return crossing::encode(*s.here, entries.get());
}

std::optional<std::string> name_of(PyObject* name) {
    if (name == nullptr || name == Py_None) {
        return std::nullopt;
    }
    if (!PyUnicode_Check(name)) {
        py::fail(PyExc_TypeError, "an interpreter's name must be str, not %.200s", Py_TYPE(name)->tp_name);
    }
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(name, &size);
    if (text == nullptr) {
        throw py::python_error{};
    }
    return std::string(text, static_cast<std::size_t>(size));
}

py::creation gil_of(PyObject* gil) {
    if (gil != nullptr && !PyUnicode_Check(gil)) {
        py::fail(PyExc_TypeError, "gil must be str, not %.200s", Py_TYPE(gil)->tp_name);
    }
    if (gil == nullptr || PyUnicode_CompareWithASCIIString(gil, "own") == 0) {
        return py::creation::own_gil;
    }
    if (PyUnicode_CompareWithASCIIString(gil, "shared") != 0) {
        py::fail(PyExc_ValueError, "gil must be 'own' or 'shared', not %R", gil);
    }
    return py::creation::shared_gil;
}

/// A new interpreter, idle; its record holds one handle, the caller's. Throws python_error.
core::interpreter_ref make(state& s, py::creation kind, std::optional<std::string> label) {
    core::message path = own_path(s);
    made_interpreter made = make_interpreter(kind == py::creation::own_gil ? isolated : legacy,
                                             std::move(path), std::move(label));
    if (made.record == nullptr && made.why.empty()) {
        throw std::bad_alloc{};
    }
    if (made.record == nullptr) {
        py::fail(s.interpreter_error, "%s", made.why.c_str());
    }
    return std::move(made.record);
}

} // namespace

PyObject* create(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        state& s = state_of(module);
        if (count != 0) {
            py::fail(PyExc_TypeError, "create() takes keyword arguments only");
        }
        const auto [name, gil] = parse<2>("create", {"name", "gil"}, 0, args, count, keywords);
        std::optional<std::string> label = name_of(name);
        const py::creation kind = gil_of(gil);
        prepare_main_interpreter();
        const core::interpreter_ref record = make(s, kind, std::move(label));
        // Closes it should one of the last steps fail.
        const std::unique_ptr<core::attachment> held = adopt_handle(record);
        py::drain(*s.here);
        ref made = make_interpreter(s, record->number);
        py::warn_if_copying();
        return made.release();
    });
}

PyObject* list_all(PyObject* module, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        state& s = state_of(module);
        const ref source = require(PyImport_ImportModule("_interpreters"));
        // One that is still being made can't be entered.
        const ref list = require(PyObject_GetAttrString(source.get(), "list_all"));
        const ref ready = require(Py_BuildValue("{sO}", "require_ready", Py_True));
        const ref nothing = require(PyTuple_New(0));
        const ref known = require(PyObject_Call(list.get(), nothing.get(), ready.get()));
        const ref entries =
            require(PySequence_Fast(known.get(), "_interpreters.list_all() returned no sequence"));
        const ref result = require(PyList_New(0));
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(entries.get()); ++i) {
            PyObject* const entry = PySequence_Fast_GET_ITEM(entries.get(), i);
            // Pairs (id, whence) on all versions known; a bare id would do as well.
            PyObject* const number = PyTuple_Check(entry) ? PyTuple_GET_ITEM(entry, 0) : entry;
            const long long value = PyLong_AsLongLong(number);
            require(value == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
            const ref one = make_interpreter(s, value);
            require(PyList_Append(result.get(), one.get()));
        }
        return Py_NewRef(result.get());
    });
}

PyObject* get_current(PyObject* module, PyObject*) {
    return guarded<PyObject*>(
        nullptr, [&] { return make_interpreter(state_of(module), state_of(module).here->number).release(); });
}

PyObject* get_main(PyObject* module, PyObject*) {
    return guarded<PyObject*>(nullptr, [&] {
        return make_interpreter(state_of(module), PyInterpreterState_GetID(PyInterpreterState_Main()))
            .release();
    });
}

} // namespace isthmus::module

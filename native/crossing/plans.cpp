#include "crossing/plans.hpp"

#include "crossing/handles.hpp"
#include "crossing/views.hpp"

#include <array>
#include <string_view>

namespace isthmus::crossing {
namespace {

using py::optional_attribute;
using py::ref;
using py::require;

bool is_of_object(PyTypeObject* type, const char* name) {
    const ref found = optional_attribute(reinterpret_cast<PyObject*>(type), name);
    const ref original = optional_attribute(reinterpret_cast<PyObject*>(&PyBaseObject_Type), name);
    return found.get() == original.get();
}

/// No state but the attributes in its `__dict__`, and nobody who wants to have a say in what it is made of.
bool is_plain(PyTypeObject* type) {
    constexpr unsigned long wanted = Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_MANAGED_DICT;
    return (type->tp_flags & wanted) == wanted && type->tp_basicsize == PyBaseObject_Type.tp_basicsize &&
           type->tp_itemsize == 0 && is_of_object(type, "__reduce_ex__") &&
           is_of_object(type, "__reduce__") && is_of_object(type, "__getstate__") &&
           is_of_object(type, "__getnewargs_ex__") && is_of_object(type, "__getnewargs__") &&
           is_of_object(type, "__setstate__");
}

/// Methods in Python of the standard library that tell what an object is made of and nothing else.
bool is_known_method(PyObject* function) {
    constexpr std::array<std::string_view, 7> modules = {
        "enum", "uuid", "fractions", "pathlib", "pathlib._local", "collections", "datetime"};
    const ref module = optional_attribute(function, "__module__");
    if (!module || !PyUnicode_Check(module.get())) {
        return false;
    }
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(module.get(), &size);
    if (text == nullptr) {
        throw py::python_error{};
    }
    const std::string_view name(text, static_cast<std::size_t>(size));
    for (const std::string_view known : modules) {
        if (name == known) {
            return true;
        }
    }
    return name.starts_with("namedtuple_") || name.starts_with("isthmus._");
}

bool is_by_c(PyTypeObject* type, const char* name) {
    const ref method = optional_attribute(reinterpret_cast<PyObject*>(type), name);
    if (!method) {
        return true;
    }
    PyTypeObject* const kind = Py_TYPE(method.get());
    return kind == &PyMethodDescr_Type || kind == &PyWrapperDescr_Type ||
           (PyFunction_Check(method.get()) && is_known_method(method.get()));
}

bool reduces_by_c(PyTypeObject* type) {
    return is_by_c(type, "__reduce_ex__") && is_by_c(type, "__reduce__") && is_by_c(type, "__getstate__") &&
           is_by_c(type, "__getnewargs_ex__") && is_by_c(type, "__getnewargs__");
}

/// See isthmus._clone.
long told(PyObject* module, PyTypeObject* type) {
    const ref answer =
        require(PyObject_CallMethod(module, "speaks_for", "O", reinterpret_cast<PyObject*>(type)));
    const long value = PyLong_AsLong(answer.get());
    if (value == -1 && PyErr_Occurred() != nullptr) {
        throw py::python_error{};
    }
    return value;
}

} // namespace

plans::~plans() {
    for (const known& k : known_) {
        Py_DECREF(k.type);
    }
}

plan plans::of(PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    for (const known& k : known_) {
        if (k.type == type) {
            return k.what;
        }
    }
    const plan made = decide(o);
    constexpr std::size_t enough = 64; // looked through one by one
    if (known_.size() < enough) {
        known_.push_back({type, made});
        Py_INCREF(type);
    }
    return made;
}

plan plans::decide(PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    if (crosses_as_view(o) || PyPickleBuffer_Check(o)) {
        return {manner::view};
    }
    if (handles().pack(o) != nullptr) {
        return {manner::handle};
    }
    if (PyFunction_Check(o) || PyCell_Check(o) || PyType_Check(o)) {
        return {manner::python, true};
    }
    if (const long by = told(reducers(), type); by != 0) {
        return {manner::python, by == 2};
    }
    if (is_plain(type)) {
        return {manner::instance, true};
    }
    return {manner::reduce, reduces_by_c(type)};
}

PyObject* plans::reducers() {
    if (!reducers_) {
        reducers_ = require(PyImport_ImportModule("isthmus._clone"));
    }
    return reducers_.get();
}

ref plans::reduce(PyObject* o, manner how) {
    if (how == manner::python) {
        if (!identities_) {
            identities_ = require(PyDict_New());
        }
        ref reduced = require(PyObject_CallMethod(reducers(), "reduce", "OO", o, identities_.get()));
        if (reduced.get() != Py_NotImplemented) {
            return reduced;
        }
    }
    return require(PyObject_CallMethod(o, "__reduce_ex__", "i", 5));
}

plans::location plans::locate(PyObject* o, PyObject* name) {
    const ref found = require(PyObject_CallMethod(reducers(), "locate", "OO", o, name));
    PyObject* module = nullptr;
    PyObject* qualified = nullptr;
    require(PyArg_ParseTuple(found.get(), "UU", &module, &qualified) != 0 ? 0 : -1);
    return {ref::share(module), ref::share(qualified)};
}

ref plans::blame(PyObject* steps, PyObject* offender, PyObject* raised) {
    return require(PyObject_CallMethod(reducers(), "blame", "OOO", steps, offender, raised));
}

} // namespace isthmus::crossing

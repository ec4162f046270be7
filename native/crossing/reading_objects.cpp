/// The part of `reader` for objects made of a class or a callable.
#include "crossing/reader.hpp"

#include <utility>

namespace isthmus::crossing {

using py::optional_attribute;
using py::ref;
using py::require;

namespace {

ref make_new(PyObject* type, PyObject* arguments) {
    const auto* const kind = reinterpret_cast<PyTypeObject*>(type);
    if (kind->tp_new == nullptr) {
        py::fail(PyExc_TypeError, "cannot create '%.200s' instances", kind->tp_name);
    }
    return require(kind->tp_new(reinterpret_cast<PyTypeObject*>(type), arguments, nullptr));
}

void set_attributes(PyObject* o, PyObject* state) {
    if (!PyDict_Check(state)) {
        py::fail(PyExc_TypeError, "the state of a %.200s is not a dict", Py_TYPE(o)->tp_name);
    }
    const ref attributes = require(PyObject_GetAttrString(o, "__dict__"));
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(state, &at, &key, &value) != 0;) {
        PyObject* name = Py_NewRef(key);
        if (PyUnicode_CheckExact(name)) {
            PyUnicode_InternInPlace(&name);
        }
        const ref kept = ref::steal(name);
        const ref held = ref::share(value);
        require(PyObject_SetItem(attributes.get(), name, held.get()));
    }
}

void set_slots(PyObject* o, PyObject* state) {
    if (!PyDict_Check(state)) {
        py::fail(PyExc_TypeError, "the slots of a %.200s are not a dict", Py_TYPE(o)->tp_name);
    }
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(state, &at, &key, &value) != 0;) {
        const ref name = ref::share(key);
        const ref held = ref::share(value);
        require(PyObject_SetAttr(o, name.get(), held.get()));
    }
}

} // namespace

PyObject* reader::known() {
    frame& f = frames_.back();
    Py_XSETREF(f.made, again().release());
    Py_CLEAR(f.first);
    return done();
}

PyObject* reader::add_to_instance(frame& f, ref part) {
    if (f.made != nullptr) {
        return add_pair(f, std::move(part));
    }
    if (!PyType_Check(part.get())) {
        fail_senseless("an object's class is none");
    }
    if (after_arguments{number<std::uint8_t>()} == after_arguments::known) {
        return known();
    }
    const ref none = require(PyTuple_New(0));
    f.made = make_new(part.get(), none.get()).release();
    if (PyType_Check(f.made)) { // its dict is not to be written behind its back
        fail_senseless("an object is a class");
    }
    if (f.remember) {
        remember(f.made);
    }
    f.left = count_of_values(2);
    if (f.left == 0) {
        return done();
    }
    f.attributes = require(PyObject_GenericGetDict(f.made, nullptr)).release();
    return nullptr;
}

PyObject* reader::add_to_reduced(frame& f, ref part) {
    switch (f.now) {
    case step::callable:
        f.first = part.release();
        f.now = step::arguments;
        return nullptr;
    case step::arguments:
        return make(f, std::move(part));
    case step::items:
        put_aside(std::move(part));
        return nullptr;
    case step::pairs:
        if (f.first == nullptr) {
            f.first = part.release();
        } else {
            const ref key = ref::steal(std::exchange(f.first, nullptr));
            require(PyObject_SetItem(f.made, key.get(), part.get()));
        }
        return nullptr;
    case step::setter:
        f.first = part.release();
        return go_on(f, step::state);
    case step::state:
        set_state(f, std::move(part));
        return done();
    }
    return nullptr;
}

PyObject* reader::make(frame& f, ref arguments) {
    if (!PyTuple_CheckExact(arguments.get())) {
        fail_senseless("arguments are no tuple");
    }
    if (after_arguments{number<std::uint8_t>()} == after_arguments::known) {
        return known();
    }
    const ref callable = ref::steal(std::exchange(f.first, nullptr));
    if (!has(f.parts, part::fresh)) {
        f.made = require(PyObject_CallObject(callable.get(), arguments.get())).release();
    } else if (PyType_Check(callable.get())) {
        f.made = make_new(callable.get(), arguments.get()).release();
    } else {
        fail_senseless("an object's class is none");
    }
    if (f.remember) {
        remember(f.made);
    }
    return go_on(f, step::items);
}

/// To the first part from `from` on that is there.
PyObject* reader::go_on(frame& f, step from) {
    switch (from) {
    case step::items:
        if (has(f.parts, part::items)) {
            f.now = step::items;
            f.base = values_.size();
            return nullptr;
        }
        [[fallthrough]];
    case step::pairs:
        if (has(f.parts, part::pairs)) {
            f.now = step::pairs;
            return nullptr;
        }
        [[fallthrough]];
    case step::setter:
        if (has(f.parts, part::setter)) {
            f.now = step::setter;
            return nullptr;
        }
        [[fallthrough]];
    default:
        if (has(f.parts, part::state)) {
            f.now = step::state;
            return nullptr;
        }
    }
    return done();
}

PyObject* reader::stop() {
    if (frames_.empty() || frames_.back().is != tag::reduced || frames_.back().first != nullptr) {
        fail_senseless("items end where there are none");
    }
    frame& f = frames_.back();
    if (f.now == step::items) {
        fill(f);
        return go_on(f, step::pairs);
    }
    if (f.now != step::pairs) {
        fail_senseless("items end where there are none");
    }
    return go_on(f, step::setter);
}

/// As pickle: `extend` where there is one, else `append`.
void reader::fill(frame& f) {
    const ref items = take_values(f.base);
    if (const ref extend = optional_attribute(f.made, "extend"); extend) {
        py::check(PyObject_CallOneArg(extend.get(), items.get()));
        return;
    }
    const ref append = require(PyObject_GetAttrString(f.made, "append"));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
        py::check(PyObject_CallOneArg(append.get(), PyTuple_GET_ITEM(items.get(), i)));
    }
}

/// As pickle's BUILD.
void reader::set_state(frame& f, ref state) {
    if (const ref setter = ref::steal(std::exchange(f.first, nullptr)); setter) {
        return py::check(PyObject_CallFunctionObjArgs(setter.get(), f.made, state.get(), nullptr));
    }
    if (!setstate_name_) {
        setstate_name_ = require(PyUnicode_InternFromString("__setstate__"));
    }
    PyObject* found = nullptr;
    require(PyObject_GetOptionalAttr(f.made, setstate_name_.get(), &found));
    if (const ref setstate = ref::steal(found); setstate) {
        return py::check(PyObject_CallOneArg(setstate.get(), state.get()));
    }
    PyObject* attributes = state.get();
    if (PyTuple_Check(attributes) && PyTuple_GET_SIZE(attributes) == 2) {
        if (PyTuple_GET_ITEM(state.get(), 1) != Py_None) {
            set_slots(f.made, PyTuple_GET_ITEM(state.get(), 1));
        }
        attributes = PyTuple_GET_ITEM(state.get(), 0);
    }
    if (attributes != Py_None) {
        set_attributes(f.made, attributes);
    }
}

} // namespace isthmus::crossing

/// The part of `writer` for objects without a kind of their own.
#include "crossing/handles.hpp"
#include "crossing/views.hpp"
#include "crossing/writer.hpp"

#include "cpython/compat.hpp"

namespace isthmus::crossing {

using py::ref;
using py::require;

void writer::open_object(PyObject* o, Py_ssize_t ours) {
    const ref kept = ref::share(o);
    ++ours;
    blamed_ = ref::share(o);
    const plan p = plans_.of(o);
    switch (p.how) {
    case manner::view:
        open_view(o, ours);
        break;
    case manner::handle:
        open_attachment(o, handles().pack(o), ours);
        break;
    case manner::instance:
        open_instance(o, ours);
        break;
    case manner::python:
    case manner::reduce:
        if (!careful_ && !p.by_c) {
            if (skipped_) {
                throw be_careful{};
            }
            careful_ = true;
        }
        if (ref reduced = plans_.reduce(o, p.how); PyUnicode_Check(reduced.get())) {
            put_global(o, reduced.get(), ours);
        } else {
            open_reduced(o, std::move(reduced), ours);
        }
        break;
    }
    blamed_ = {};
}

void writer::open_attachment(PyObject* o, std::unique_ptr<core::attachment> travelling, Py_ssize_t ours) {
    const bool remember = may_recur(o, ours);
    into_.attachments.push_back(std::move(travelling));
    put(tag::attachment, remember);
    if (remember) {
        number(o);
    }
}

/// A PickleBuffer shows what it was made of: `bytes` cross as themselves.
void writer::open_view(PyObject* o, Py_ssize_t ours) {
    if (!PyPickleBuffer_Check(o)) {
        return open_attachment(o, pack_view(from_, o), ours);
    }
    const Py_buffer* const shown = PyPickleBuffer_GetBuffer(o);
    if (shown == nullptr) {
        throw py::python_error{};
    }
    if (shown->obj != nullptr && PyBytes_CheckExact(shown->obj) &&
        shown->len == PyBytes_GET_SIZE(shown->obj)) {
        return put_payload(shown->obj, 0);
    }
    const ref view = require(PyMemoryView_FromObject(o));
    open_attachment(o, pack_view(from_, view.get()), ours);
}

void writer::put_global(PyObject* o, PyObject* name, Py_ssize_t ours) {
    const plans::location where = plans_.locate(o, name);
    const bool remember = may_recur(o, ours);
    put(tag::global, remember);
    put_payload(where.module.get(), 1);
    put_payload(where.name.get(), 1);
    if (remember) {
        number(o);
    }
}

// ---- class and attributes

void writer::open_instance(PyObject* o, Py_ssize_t ours) {
    ref attributes = require(PyObject_GenericGetDict(o, nullptr));
    const bool remember = begin_late(o, ours);
    put(tag::instance, remember);
    frame& f = push(shape::instance, o, 0);
    f.remember = remember;
    f.inside = attributes.release();
}

/// True: its parts follow. False: it is known already, and its frame is gone.
bool writer::put_made(frame& f) {
    std::uint32_t* const state = f.remember ? memo_.find(f.object) : nullptr;
    if (state != nullptr && is_number(*state)) {
        put_number(static_cast<std::uint8_t>(after_arguments::known));
        put_count(*state);
        pop();
        return false;
    }
    put_number(static_cast<std::uint8_t>(after_arguments::made));
    if (state != nullptr) {
        *state = next_number();
    }
    return true;
}

void writer::advance_instance(frame& f) {
    if (f.now == stage::callable) {
        f.now = stage::made;
        if (!put_part(reinterpret_cast<PyObject*>(Py_TYPE(f.object)))) {
            return;
        }
    }
    if (f.now == stage::made) {
        if (!put_made(f)) {
            return;
        }
        f.now = stage::state;
        f.count = PyDict_GET_SIZE(f.inside);
        put_count(static_cast<std::size_t>(f.count));
    }
    advance_dict(f);
}

// ---- what __reduce_ex__ returned

namespace {

PyObject* item_or_null(PyObject* tuple, Py_ssize_t at) noexcept {
    if (at >= PyTuple_GET_SIZE(tuple)) {
        return nullptr;
    }
    PyObject* const item = PyTuple_GET_ITEM(tuple, at);
    return item == Py_None ? nullptr : item;
}

std::uint8_t parts_of(PyObject* reduced) {
    if (!PyTuple_Check(reduced) || PyTuple_GET_SIZE(reduced) < 2 || PyTuple_GET_SIZE(reduced) > 6) {
        py::fail(PyExc_TypeError, "__reduce__ must return a string or a tuple of two to six");
    }
    if (PyCallable_Check(PyTuple_GET_ITEM(reduced, 0)) == 0) {
        py::fail(PyExc_TypeError, "first item of the tuple returned by __reduce__ must be callable");
    }
    if (!PyTuple_CheckExact(PyTuple_GET_ITEM(reduced, 1))) {
        py::fail(PyExc_TypeError, "second item of the tuple returned by __reduce__ must be a tuple");
    }
    std::uint8_t parts = 0;
    constexpr std::pair<Py_ssize_t, part> all[] = {
        {2, part::state}, {3, part::items}, {4, part::pairs}, {5, part::setter}};
    for (const auto& [at, which] : all) {
        if (item_or_null(reduced, at) != nullptr) {
            parts = parts | which;
        }
    }
    if (has(parts, part::setter) && !has(parts, part::state)) {
        parts = static_cast<std::uint8_t>(parts & ~static_cast<std::uint8_t>(part::setter));
    }
    return parts;
}

} // namespace

void writer::open_reduced(PyObject* o, ref reduced, Py_ssize_t ours) {
    std::uint8_t parts = parts_of(reduced.get());
    ref arguments = ref::share(PyTuple_GET_ITEM(reduced.get(), 1));
    if (PyTuple_GET_SIZE(arguments.get()) != 0 && PyType_Check(PyTuple_GET_ITEM(arguments.get(), 0)) &&
        plans_.calls_new(PyTuple_GET_ITEM(reduced.get(), 0))) {
        parts = parts | part::fresh;
        arguments = require(PyTuple_GetSlice(arguments.get(), 1, PyTuple_GET_SIZE(arguments.get())));
    }
    const bool remember = begin_late(o, ours);
    put(tag::reduced, remember);
    put_number(parts);
    frame& f = push(shape::reduced, o, 0);
    f.parts = parts;
    f.remember = remember;
    f.pending = arguments.release();
    f.inside = reduced.release();
}

void writer::advance_reduced(frame& f) {
    PyObject* const reduced = f.inside;
    for (;;) {
        const stage now = f.now;
        switch (now) {
        case stage::callable: {
            PyObject* const first = PyTuple_GET_ITEM(reduced, 0);
            f.now = stage::arguments;
            if (!put_part(has(f.parts, part::fresh) ? PyTuple_GET_ITEM(PyTuple_GET_ITEM(reduced, 1), 0)
                                                    : first)) {
                return;
            }
            break;
        }
        case stage::arguments:
            f.now = stage::made;
            if (!put_part(f.pending, 1)) {
                return;
            }
            break;
        case stage::made:
            if (!put_made(f)) {
                return;
            }
            Py_CLEAR(f.pending);
            f.now = stage::items;
            break;
        case stage::items:
            if (has(f.parts, part::items) && !advance_items(f)) {
                return;
            }
            f.at = 0;
            f.now = stage::pairs;
            break;
        case stage::pairs:
            if (has(f.parts, part::pairs) && !advance_pairs(f)) {
                return;
            }
            f.now = stage::setter;
            break;
        case stage::setter:
            f.now = stage::state;
            if (has(f.parts, part::setter) && !put_part(PyTuple_GET_ITEM(reduced, 5))) {
                return;
            }
            break;
        case stage::state:
            f.now = stage::end;
            if (has(f.parts, part::state) && !put_part(PyTuple_GET_ITEM(reduced, 2))) {
                return;
            }
            break;
        case stage::end:
            return pop();
        }
    }
}

/// The next of the frame's iterator, which is made first; null at its end.
ref writer::next_of(frame& f, Py_ssize_t which) {
    if (f.iterator == nullptr) {
        f.iterator = require(PyObject_GetIter(PyTuple_GET_ITEM(f.inside, which))).release();
    }
    ref item = ref::steal(PyIter_Next(f.iterator));
    if (!item) {
        if (PyErr_Occurred() != nullptr) {
            throw py::python_error{};
        }
        Py_CLEAR(f.iterator);
        put(tag::stop);
    }
    return item;
}

bool writer::advance_items(frame& f) {
    while (const ref item = next_of(f, 3)) {
        ++f.at;
        if (!put_part(item.get(), 1)) {
            return false;
        }
    }
    return true;
}

bool writer::advance_pairs(frame& f) {
    if (f.pending != nullptr) {
        const ref value = ref::steal(std::exchange(f.pending, nullptr));
        if (!put_part(value.get(), 1)) {
            return false;
        }
    }
    while (const ref pair = next_of(f, 4)) {
        if (!PyTuple_Check(pair.get()) || PyTuple_GET_SIZE(pair.get()) != 2) {
            py::fail(PyExc_TypeError, "dict items iterator must return 2-tuples");
        }
        PyObject* const key = PyTuple_GET_ITEM(pair.get(), 0);
        PyObject* const value = PyTuple_GET_ITEM(pair.get(), 1);
        f.remember_key(key);
        if (!put_leaf(key, 1)) {
            f.pending = Py_NewRef(value);
            open(key, 1);
            return false;
        }
        if (!put_part(value, 1)) {
            return false;
        }
    }
    return true;
}

// ---- errors

/// What is being looked at in a container, for isthmus._clone.blame.
ref writer::step_of(const frame& f) const {
    const auto with = [&](const char* what, PyObject* key) {
        return require(Py_BuildValue("(sOO)", what, f.object, key != nullptr ? key : Py_None));
    };
    switch (f.is) {
    case shape::sequence:
    case shape::list: {
        const ref at = require(PyLong_FromSsize_t(f.at - 1));
        return with("[]", at.get());
    }
    case shape::dict:
        return with(f.pending != nullptr ? "key" : "value", f.key);
    case shape::instance:
        return with(f.now != stage::state ? "class" : f.pending != nullptr ? "key" : "attribute", f.key);
    case shape::reduced:
        break;
    }
    switch (f.now) {
    case stage::arguments:
        return with("callable", nullptr);
    case stage::made:
        return with("arguments", nullptr);
    case stage::items: {
        const ref at = require(PyLong_FromSsize_t(f.at - 1));
        return with("[]", at.get());
    }
    case stage::pairs:
        return with(f.pending != nullptr ? "key" : "value", f.key);
    case stage::state:
        return with("setter", nullptr);
    default:
        return with("state", nullptr);
    }
}

void writer::explain() {
    if (!blamed_ || PyErr_ExceptionMatches(PyExc_Exception) == 0 ||
        PyErr_ExceptionMatches(PyExc_MemoryError) != 0) {
        return;
    }
    const ref raised = ref::steal(PyErr_GetRaisedException());
    const ref offender = std::move(blamed_);
    const ref steps = require(PyList_New(0));
    for (const frame& f : frames_) {
        require(PyList_Append(steps.get(), step_of(f).get()));
    }
    const ref told = plans_.blame(steps.get(), offender.get(), raised.get());
    PyErr_SetRaisedException(Py_NewRef(told.get()));
}

} // namespace isthmus::crossing

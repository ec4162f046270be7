/// The part of `writer` for containers.
#include "crossing/writer.hpp"

#include <algorithm>
#include <utility>

namespace isthmus::crossing {

using py::ref;
using py::require;

namespace {

tag known_form(tag t) noexcept {
    return t == tag::tuple ? tag::known_tuple : t == tag::frozenset ? tag::known_frozenset : tag::known_slice;
}

} // namespace

writer::frame& writer::push(shape is, PyObject* object, std::size_t header) {
    frame& f = frames_.emplace_back();
    f.is = is;
    f.header = header;
    f.object = Py_NewRef(object);
    return f;
}

void writer::pop() {
    const frame done = frames_.back();
    frames_.pop_back(); // first: what dies may run code
    Py_XDECREF(done.key);
    Py_XDECREF(done.iterator);
    Py_XDECREF(done.pending);
    Py_XDECREF(done.inside);
    Py_DECREF(done.object);
}

void writer::open(PyObject* o, Py_ssize_t ours) {
    const PyTypeObject* const type = Py_TYPE(o);
    if (type == &PyDict_Type) {
        open_dict(o, ours);
    } else if (type == &PyList_Type) {
        open_list(o, ours);
    } else if (type == &PyTuple_Type) {
        open_tuple(o, ours);
    } else if (type == &PySet_Type) {
        open_set(o, ours);
    } else if (type == &PyFrozenSet_Type) {
        open_sequence(o, tag::frozenset, require(PySequence_Tuple(o)), ours);
    } else if (type == &PyByteArray_Type) {
        open_bytearray(o, ours);
    } else if (!open_scalar(o, ours)) {
        open_object(o, ours);
    }
}

/// Values of a fixed number of parts.
bool writer::open_scalar(PyObject* o, Py_ssize_t ours) {
    if (PyComplex_CheckExact(o)) {
        put(tag::complex);
        const Py_complex value = PyComplex_AsCComplex(o);
        put_number(value.real);
        put_number(value.imag);
    } else if (o == Py_Ellipsis) {
        put(tag::ellipsis);
    } else if (o == Py_NotImplemented) {
        put(tag::not_implemented);
    } else if (Py_TYPE(o) == &PySlice_Type) {
        const auto* parts = reinterpret_cast<const PySliceObject*>(o);
        open_sequence(o, tag::slice, require(PyTuple_Pack(3, parts->start, parts->stop, parts->step)), ours);
    } else if (Py_TYPE(o) == &PyRange_Type) {
        const ref start = require(PyObject_GetAttrString(o, "start"));
        const ref stop = require(PyObject_GetAttrString(o, "stop"));
        const ref step = require(PyObject_GetAttrString(o, "step"));
        open_sequence(o, tag::range, require(PyTuple_Pack(3, start.get(), stop.get(), step.get())), ours);
    } else {
        return false;
    }
    return true;
}

void writer::open_bytearray(PyObject* o, Py_ssize_t ours) {
    const bool remember = may_recur(o, ours);
    put(tag::bytearray, remember);
    put_count(static_cast<std::size_t>(PyByteArray_GET_SIZE(o)));
    into_.data.append(PyByteArray_AS_STRING(o), static_cast<std::size_t>(PyByteArray_GET_SIZE(o)));
    if (remember) {
        number(o);
    }
}

void writer::open_list(PyObject* o, Py_ssize_t ours) {
    const bool remember = may_recur(o, ours);
    put(tag::list, remember);
    put_count(static_cast<std::size_t>(PyList_GET_SIZE(o)));
    if (remember) {
        number(o);
    }
    const Py_ssize_t size = PyList_GET_SIZE(o);
    Py_ssize_t at = 0;
    while (at < size && put_leaf(PyList_GET_ITEM(o, at))) { // runs no code that could change it
        ++at;
    }
    if (at < size) {
        frame& f = push(shape::list, o, 0);
        f.at = at;
        f.count = size;
    }
}

void writer::open_dict(PyObject* o, Py_ssize_t ours) {
    const bool remember = may_recur(o, ours);
    put(tag::dict, remember);
    put_count(static_cast<std::size_t>(PyDict_GET_SIZE(o)));
    if (remember) {
        number(o);
    }
    pairs here{o, PyDict_GET_SIZE(o)};
    if (const met part = put_pairs(here, false); part != met::end) {
        frame& f = push(shape::dict, o, 0);
        f.inside = Py_NewRef(o);
        f.at = part == met::key ? here.before : here.at;
        f.count = part == met::key ? here.left + 1 : here.left;
        if (part == met::value) {
            f.remember_key(here.key);
            f.pending = Py_NewRef(here.value);
        }
    }
}

/// Up to a key or value that has parts.
writer::met writer::put_pairs(pairs& of, bool names) {
    for (of.before = of.at; PyDict_Next(of.dict, &of.at, &of.key, &of.value) != 0 && of.left-- != 0;
         of.before = of.at) {
        if (names && PyUnicode_CheckExact(of.key)) {
            put_payload(of.key, 0, true);
        } else if (!put_leaf(of.key)) {
            return met::key;
        }
        if (!put_leaf(of.value)) {
            return met::value;
        }
    }
    return met::end;
}

void writer::open_set(PyObject* o, Py_ssize_t ours) {
    ref parts = require(PySequence_Tuple(o));
    const bool remember = may_recur(o, ours);
    put(tag::set, remember);
    put_count(static_cast<std::size_t>(PyTuple_GET_SIZE(parts.get())));
    if (remember) {
        number(o);
    }
    if (PyTuple_GET_SIZE(parts.get()) != 0) {
        frame& f = push(shape::sequence, o, 0);
        f.count = PyTuple_GET_SIZE(parts.get());
        f.inside = parts.release();
    }
}

void writer::open_tuple(PyObject* o, Py_ssize_t ours) {
    if (PyTuple_GET_SIZE(o) == 0) {
        put(tag::tuple);
        put_count(0);
        return;
    }
    open_sequence(o, tag::tuple, ref::share(o), ours + 1);
}

/// `o` gets its number once it is whole. True: it may be met again, now inside itself.
bool writer::begin_late(PyObject* o, Py_ssize_t ours) {
    if (!may_recur(o, ours)) {
        return false;
    }
    std::uint32_t* const state = memo_.find(o);
    if (state == nullptr) {
        memo_.add(o, open_once);
    } else if (!careful_) {
        throw be_careful{}; // what is in it is met twice, however few refer to it
    } else if (--*state == open_too_often) {
        fail_endless(o);
    }
    return true;
}

void writer::fail_endless(PyObject* o) {
    blamed_ = ref::share(o);
    // The path to it is one that does not lead through it.
    const auto first =
        std::find_if(frames_.begin(), frames_.end(), [o](const frame& f) { return f.object == o; });
    for (auto more = frames_.end() - first; more > 0; --more) {
        pop();
    }
    py::fail(PyExc_TypeError, "it is needed to make itself");
}

/// `parts`: a tuple; `o` itself, or what is in it.
void writer::open_sequence(PyObject* o, tag t, ref parts, Py_ssize_t ours) {
    const bool remember = begin_late(o, ours);
    const std::size_t header = into_.data.size();
    put(t, remember);
    if (t == tag::tuple || t == tag::frozenset) {
        put_count(static_cast<std::size_t>(PyTuple_GET_SIZE(parts.get())));
    }
    frame& f = push(shape::sequence, o, header);
    f.late = true;
    f.remember = remember;
    f.count = PyTuple_GET_SIZE(parts.get());
    f.inside = parts.release();
}

void writer::close_sequence(const frame& f) {
    if (!f.remember) {
        return;
    }
    std::uint32_t* const state = memo_.find(f.object);
    if (!is_number(*state)) {
        *state = next_number();
        return;
    }
    std::byte& header = into_.data.data()[f.header];
    const tag was{static_cast<std::uint8_t>(static_cast<std::uint8_t>(header) & ~remembered)};
    header = static_cast<std::byte>(known_form(was));
    put_count(*state);
}

// ---- going on

void writer::advance() {
    frame& f = frames_.back();
    switch (f.is) {
    case shape::sequence:
        return advance_sequence(f);
    case shape::list:
        return advance_list(f);
    case shape::dict:
        return advance_dict(f);
    case shape::instance:
        return advance_instance(f);
    case shape::reduced:
        return advance_reduced(f);
    }
}

/// False: the top frame may be another one now.
bool writer::put_part(PyObject* o, Py_ssize_t ours) {
    if (put_leaf(o, ours)) [[likely]] {
        return true;
    }
    open(o, ours);
    return false;
}

void writer::advance_sequence(frame& f) {
    const Py_ssize_t ours = f.inside == f.object ? 0 : 1;
    while (f.at < f.count) {
        if (!put_part(PyTuple_GET_ITEM(f.inside, f.at++), ours)) {
            return;
        }
    }
    if (f.late) {
        close_sequence(f);
    }
    pop();
}

void writer::advance_list(frame& f) {
    while (f.at < f.count) {
        if (PyList_GET_SIZE(f.object) != f.count) {
            py::fail(PyExc_RuntimeError, "a list changed size while it was sent");
        }
        if (!put_part(PyList_GET_ITEM(f.object, f.at++))) {
            return;
        }
    }
    pop();
}

/// A dict, or the attributes of an object.
void writer::advance_dict(frame& f) {
    if (f.pending != nullptr) {
        const ref value = ref::steal(std::exchange(f.pending, nullptr));
        if (!put_part(value.get(), 1)) {
            return;
        }
    }
    pairs here{f.inside, f.count, f.at};
    if (const met part = put_pairs(here, f.is == shape::instance); part != met::end) {
        f.at = here.at;
        f.count = here.left;
        const ref next = ref::share(part == met::key ? here.key : here.value);
        if (part == met::key) {
            f.pending = Py_NewRef(here.value);
        }
        f.remember_key(here.key); // last: the key before may die, and run code that empties the dict
        return open(next.get(), part == met::key ? 2 : 1);
    }
    if (here.left != 0) {
        py::fail(PyExc_RuntimeError, "a dict changed size while it was sent");
    }
    pop();
}

} // namespace isthmus::crossing

#include "crossing/writer.hpp"

#include "cpython/compat.hpp"
#include "cpython/twin.hpp"

#include "core/memory.hpp"
#include "core/stats.hpp"

#include <limits>

namespace isthmus::crossing {

using py::ref;
using py::require;
using py::compat::form;

namespace {

/// CPython has one object for each of them.
bool is_one_of_a_kind(PyObject* o) noexcept {
    if (PyBytes_CheckExact(o)) {
        return PyBytes_GET_SIZE(o) <= 1;
    }
    return PyUnicode_GET_LENGTH(o) == 0 ||
           (PyUnicode_GET_LENGTH(o) == 1 && PyUnicode_KIND(o) == PyUnicode_1BYTE_KIND);
}

tag known_form(tag t) noexcept {
    return t == tag::tuple ? tag::known_tuple : t == tag::frozenset ? tag::known_frozenset : tag::known_slice;
}

/// What is allocated now lies in a slot, if there is room.
ref copy_of(PyObject* o, form f) {
    if (f == form::bytes) {
        return require(PyBytes_FromStringAndSize(PyBytes_AS_STRING(o), PyBytes_GET_SIZE(o)));
    }
    return require(PyUnicode_FromKindAndData(PyUnicode_KIND(o), PyUnicode_DATA(o), PyUnicode_GET_LENGTH(o)));
}

} // namespace

writer::~writer() {
    while (!frames_.empty()) {
        pop();
    }
}

void writer::write(PyObject* root) {
    try {
        try {
            write_whole(root);
        } catch (const be_careful&) {
            start_over();
            write_whole(root);
        }
    } catch (const py::python_error&) {
        explain();
        throw;
    }
}

void writer::write_whole(PyObject* root) {
    if (!put_leaf(root)) {
        open(root);
    }
    while (!frames_.empty()) {
        advance();
    }
}

void writer::start_over() {
    while (!frames_.empty()) {
        pop();
    }
    memo_.clear();
    into_.data.clear();
    into_.shares.clear();
    into_.attachments.clear();
    next_number_ = 0;
    blamed_ = {};
    careful_ = true;
}

bool writer::may_recur(PyObject* o, Py_ssize_t ours) {
    if (careful_ || Py_REFCNT(o) > 1 + ours) {
        return true;
    }
    skipped_ = true;
    return false;
}

bool writer::put_again(PyObject* o) {
    const std::uint32_t* const known = memo_.find(o);
    if (known == nullptr || !is_number(*known)) {
        return false;
    }
    put(tag::again);
    put_count(*known);
    return true;
}

void writer::number(PyObject* o) {
    memo_.add(o, next_number());
}

std::uint32_t writer::next_number() {
    if (!is_number(next_number_)) {
        py::fail(PyExc_OverflowError, "a value of more than four billion objects can't be sent");
    }
    return next_number_++;
}

// ---- what has no parts

bool writer::put_leaf(PyObject* o, Py_ssize_t ours) {
    const PyTypeObject* const type = Py_TYPE(o);
    if (type == &PyUnicode_Type || type == &PyBytes_Type) {
        put_payload(o, ours);
        return true;
    }
    if (type == &PyLong_Type) {
        put_integer(o);
        return true;
    }
    if (type == &PyFloat_Type) {
        put_with(tag::real, PyFloat_AS_DOUBLE(o));
        return true;
    }
    if (type == &PyBool_Type) {
        put(o == Py_True ? tag::yes : tag::no);
        return true;
    }
    if (o == Py_None) {
        put(tag::nothing);
        return true;
    }
    return (careful_ || Py_REFCNT(o) > 1 + ours) && put_again(o);
}

void writer::put_integer(PyObject* o) {
    int overflow = 0;
    const long long small = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow == 0) {
        if (small == static_cast<std::int8_t>(small)) {
            put_with(tag::int8, static_cast<std::int8_t>(small));
        } else if (small == static_cast<std::int32_t>(small)) {
            put_with(tag::int32, static_cast<std::int32_t>(small));
        } else {
            put_with(tag::int64, static_cast<std::int64_t>(small));
        }
        return;
    }
    constexpr int layout = Py_ASNATIVEBYTES_LITTLE_ENDIAN;
    const Py_ssize_t size = PyLong_AsNativeBytes(o, nullptr, 0, layout);
    require(size < 0 ? -1 : 0);
    put(tag::big);
    put_count(static_cast<std::size_t>(size));
    std::byte* const place = into_.data.extend(static_cast<std::size_t>(size));
    require(PyLong_AsNativeBytes(o, place, size, layout) < 0 ? -1 : 0);
}

/// bytes and str: shared if large, else their characters as they lie.
void writer::put_payload(PyObject* o, Py_ssize_t ours, bool is_name) {
    const bool remember = may_recur(o, ours) && !is_one_of_a_kind(o);
    if (remember && put_again(o)) {
        return;
    }
    if (core::share held = share_of(o)) {
        into_.shares.push_back(std::move(held));
        put(tag::twin, remember);
    } else {
        put_characters(o, remember, is_name);
    }
    if (remember) {
        number(o);
    }
}

core::share writer::share_of(PyObject* o) {
    const form f = py::compat::form_of(o);
    if (f == form::none || py::compat::block_size_of(o, f) < py::twin_threshold()) {
        return {};
    }
    core::share held;
    if (placing_ && core::memory().find(o) == nullptr) {
        const ref placed = copy_of(o, f);
        core::statistics::add(core::counter::payload_bytes_copied, py::compat::block_size_of(o, f));
        held = py::share_out(from_, placed.get());
    } else {
        held = py::share_out(from_, o);
    }
    if (!held) {
        core::statistics::add(core::counter::payload_bytes_copied, py::compat::block_size_of(o, f));
        core::statistics::add(core::counter::fallback_copies);
    }
    return held;
}

void writer::put_characters(PyObject* o, bool remember, bool is_name) {
    if (PyBytes_CheckExact(o)) {
        put(tag::octets, remember);
        put_count(static_cast<std::size_t>(PyBytes_GET_SIZE(o)));
        into_.data.append(PyBytes_AS_STRING(o), static_cast<std::size_t>(PyBytes_GET_SIZE(o)));
        return;
    }
    const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(o));
    if (PyUnicode_IS_ASCII(o) && !is_name) {
        put(tag::ascii, remember);
    } else {
        put(is_name ? tag::name : tag::text, remember);
        put_number(static_cast<std::uint8_t>(PyUnicode_KIND(o)));
    }
    put_count(length);
    into_.data.append(PyUnicode_DATA(o), length * static_cast<std::size_t>(PyUnicode_KIND(o)));
}

// ---- containers

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
    if (PyList_GET_SIZE(o) != 0) {
        push(shape::list, o, 0).count = PyList_GET_SIZE(o);
    }
}

void writer::open_dict(PyObject* o, Py_ssize_t ours) {
    const bool remember = may_recur(o, ours);
    put(tag::dict, remember);
    put_count(static_cast<std::size_t>(PyDict_GET_SIZE(o)));
    if (remember) {
        number(o);
    }
    if (PyDict_GET_SIZE(o) != 0) {
        frame& f = push(shape::dict, o, 0);
        f.inside = Py_NewRef(o);
        f.count = PyDict_GET_SIZE(o);
    }
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
    } else if (*state == open_once) {
        *state = open_twice;
    } else {
        blamed_ = ref::share(o);
        py::fail(PyExc_TypeError, "it is needed to make itself");
    }
    return true;
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
    const bool names = f.is == shape::instance;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    while (PyDict_Next(f.inside, &f.at, &key, &value) != 0 && f.count-- != 0) {
        if (names && PyUnicode_CheckExact(key)) {
            put_payload(key, 0, true);
        } else if (!put_leaf(key)) {
            f.remember_key(key);
            f.pending = Py_NewRef(value);
            open(key);
            return;
        }
        if (!put_leaf(value)) {
            f.remember_key(key);
            open(value);
            return;
        }
    }
    if (f.count != 0) {
        py::fail(PyExc_RuntimeError, "a dict changed size while it was sent");
    }
    pop();
}

} // namespace isthmus::crossing

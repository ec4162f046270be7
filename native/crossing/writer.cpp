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
    const auto* const number = reinterpret_cast<PyLongObject*>(o);
    const long long small = PyUnstable_Long_IsCompact(number) != 0
                                ? PyUnstable_Long_CompactValue(number)
                                : PyLong_AsLongLongAndOverflow(o, &overflow);
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

} // namespace isthmus::crossing

#include "crossing/writer.hpp"

#include "crossing/handles.hpp"
#include "crossing/views.hpp"

#include "cpython/compat.hpp"
#include "cpython/twin.hpp"

#include "core/stats.hpp"

namespace isthmus::crossing {

using py::compat::form;

bool writer::write(PyObject* o) {
    if (o == Py_None) {
        put(tag::nothing);
        return true;
    }
    if (PyBool_Check(o)) {
        put(o == Py_True ? tag::yes : tag::no);
        return true;
    }
    if (PyLong_CheckExact(o)) {
        write_integer(o);
        return true;
    }
    if (PyFloat_CheckExact(o)) {
        put(tag::real);
        put_number(PyFloat_AS_DOUBLE(o));
        return true;
    }
    if (PyTuple_CheckExact(o)) {
        return write_tuple(o);
    }
    return write_payload(o) || write_view(o) || write_handle(o);
}

void writer::write_integer(PyObject* o) {
    int overflow = 0;
    const long long small = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow == 0) {
        put(tag::integer);
        put_number(static_cast<std::int64_t>(small));
        return;
    }
    constexpr int layout = Py_ASNATIVEBYTES_LITTLE_ENDIAN;
    const Py_ssize_t size = PyLong_AsNativeBytes(o, nullptr, 0, layout);
    py::require(size < 0 ? -1 : 0);
    put(tag::big);
    put_number(static_cast<std::uint64_t>(size));
    const std::size_t start = into_.data.size();
    into_.data.resize(start + static_cast<std::size_t>(size));
    py::require(PyLong_AsNativeBytes(o, into_.data.data() + start, size, layout) < 0 ? -1 : 0);
}

/// bytes and str: shared if large, else their characters as they lie.
bool writer::write_payload(PyObject* o) {
    const form f = py::compat::form_of(o);
    if (f == form::none) {
        return false;
    }
    if (core::share held = py::share_out(from_, o)) {
        put(tag::twin);
        into_.shares.push_back(std::move(held));
        return true;
    }
    const std::size_t size = py::compat::block_size_of(o, f);
    if (size >= py::twin_threshold()) {
        core::statistics::add(core::counter::payload_bytes_copied, size);
        core::statistics::add(core::counter::fallback_copies);
    }
    if (f == form::bytes) {
        put(tag::octets);
        put_number(static_cast<std::uint64_t>(PyBytes_GET_SIZE(o)));
        put_bytes(PyBytes_AS_STRING(o), static_cast<std::size_t>(PyBytes_GET_SIZE(o)));
        return true;
    }
    put(tag::text);
    put_number(static_cast<std::uint8_t>(f));
    put_number(static_cast<std::uint64_t>(PyUnicode_GET_LENGTH(o)));
    put_bytes(PyUnicode_DATA(o), static_cast<std::size_t>(PyUnicode_GET_LENGTH(o)) * PyUnicode_KIND(o));
    return true;
}

bool writer::write_tuple(PyObject* o) {
    put(tag::tuple);
    put_number(static_cast<std::uint64_t>(PyTuple_GET_SIZE(o)));
    const py::recursion_level level(" while sending a tuple");
    bool whole = true;
    for (Py_ssize_t i = 0; whole && i < PyTuple_GET_SIZE(o); ++i) {
        whole = write(PyTuple_GET_ITEM(o, i));
    }
    return whole;
}

bool writer::write_handle(PyObject* o) {
    std::unique_ptr<core::attachment> travelling = handles().pack(o);
    if (travelling == nullptr) {
        return false;
    }
    write_attachment(std::move(travelling));
    return true;
}

bool writer::write_view(PyObject* o) {
    if (!crosses_as_view(o)) {
        return false;
    }
    write_attachment(pack_view(from_, o));
    return true;
}

void writer::write_attachment(std::unique_ptr<core::attachment> travelling) {
    put(tag::handle);
    into_.attachments.push_back(std::move(travelling));
}

} // namespace isthmus::crossing

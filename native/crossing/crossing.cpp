#include "crossing/crossing.hpp"

#include "crossing/kinds.hpp"
#include "crossing/reader.hpp"
#include "crossing/writer.hpp"

#include "cpython/compat.hpp"
#include "cpython/twin.hpp"

#include "core/stats.hpp"

#include <cstring>
#include <span>

namespace isthmus::crossing {
namespace {

using core::message;
using py::ref;
using py::require;

template <typename Value> message inline_message(kind k, const Value& value) noexcept {
    return {static_cast<std::uint8_t>(k), std::as_bytes(std::span(&value, 1))};
}

template <typename Value> Value inline_value(const message& m) noexcept {
    Value value{};
    std::memcpy(&value, m.bytes().data(), sizeof value);
    return value;
}

message small_payload(kind k, const void* data, Py_ssize_t size) noexcept {
    return {static_cast<std::uint8_t>(k),
            std::span(static_cast<const std::byte*>(data), static_cast<std::size_t>(size))};
}

/// The kinds that need no parcel; an empty message for all else.
message encode_simple(core::interpreter& from, PyObject* o) {
    constexpr auto room = static_cast<Py_ssize_t>(message::inline_capacity);
    if (o == Py_None) {
        return {static_cast<std::uint8_t>(kind::nothing), std::span<const std::byte>{}};
    }
    if (PyLong_CheckExact(o)) {
        int overflow = 0;
        const auto value = static_cast<std::int64_t>(PyLong_AsLongLongAndOverflow(o, &overflow));
        return overflow == 0 ? inline_message(kind::integer, value) : message{};
    }
    if (PyBytes_CheckExact(o) && PyBytes_GET_SIZE(o) <= room) {
        return small_payload(kind::octets, PyBytes_AS_STRING(o), PyBytes_GET_SIZE(o));
    }
    if (PyUnicode_CheckExact(o) && PyUnicode_IS_COMPACT_ASCII(o) && PyUnicode_GET_LENGTH(o) <= room) {
        return small_payload(kind::ascii, PyUnicode_DATA(o), PyUnicode_GET_LENGTH(o));
    }
    if (PyFloat_CheckExact(o)) {
        return inline_message(kind::real, PyFloat_AS_DOUBLE(o));
    }
    if (PyBool_Check(o)) {
        return inline_message(kind::truth, static_cast<std::uint8_t>(o == Py_True ? 1 : 0));
    }
    if (core::share held = py::share_out(from, o)) {
        return {static_cast<std::uint8_t>(kind::twin), std::move(held)};
    }
    return {};
}

ref decode_simple(core::interpreter& to, message& m) {
    switch (kind{m.kind()}) {
    case kind::nothing:
        return ref::share(Py_None);
    case kind::truth:
        return ref::share(inline_value<std::uint8_t>(m) != 0 ? Py_True : Py_False);
    case kind::integer:
        return require(PyLong_FromLongLong(inline_value<std::int64_t>(m)));
    case kind::real:
        return require(PyFloat_FromDouble(inline_value<double>(m)));
    case kind::octets:
        return require(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(m.bytes().data()),
                                                 static_cast<Py_ssize_t>(m.bytes().size())));
    case kind::ascii:
        return require(PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, m.bytes().data(),
                                                 static_cast<Py_ssize_t>(m.bytes().size())));
    case kind::twin:
        return py::receive(to, m.take_share());
    case kind::parcel:
        break;
    }
    py::fail(PyExc_SystemError, "isthmus: a message of an unknown kind");
}

} // namespace

namespace {

message encode_parcel(core::interpreter& from, PyObject* o, bool placing) {
    return py::with_memory_errors([&]() -> message {
        auto body = std::make_unique<core::parcel>();
        writer(from, *body, placing).write(o);
        return {static_cast<std::uint8_t>(kind::parcel), std::move(body)};
    });
}

} // namespace

message encode(core::interpreter& from, PyObject* o) {
    message simple = py::with_memory_errors([&] { return encode_simple(from, o); });
    return simple.empty() ? encode_parcel(from, o, false) : std::move(simple);
}

ref decode(core::interpreter& to, message m) {
    return py::with_memory_errors([&] {
        core::parcel* const body = m.body();
        return body != nullptr ? reader(to, *body).read() : decode_simple(to, m);
    });
}

ref clone(core::interpreter& here, PyObject* o, bool placing) {
    return decode(here, encode_parcel(here, o, placing));
}

bool is_shareable(core::interpreter& from, PyObject* o) {
    try {
        static_cast<void>(encode(from, o));
        return true;
    } catch (const py::python_error&) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) { // NotShareableError is one
            PyErr_Clear();
            return false;
        }
        throw;
    }
}

} // namespace isthmus::crossing

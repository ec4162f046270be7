#include "host/objects.hpp"

#include "cxx/codec.hpp"

#include "crossing/crossing.hpp"

namespace isthmus::host {
namespace {

/// Up to here bytes and text are made at once; what is larger may have to lie in shared memory.
constexpr std::size_t small = 4096;

py::ref octets(std::string_view data) {
    return py::require(PyBytes_FromStringAndSize(data.data(), static_cast<Py_ssize_t>(data.size())));
}

py::ref long_way(core::interpreter& here, const value& v) {
    return crossing::decode(here, detail::encode(v));
}

py::ref text_of(core::interpreter& here, std::string_view utf8) {
    if (utf8.size() <= small) {
        PyObject* const made =
            PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), nullptr);
        if (made != nullptr) {
            return py::ref::steal(made);
        }
        PyErr_Clear(); // lone surrogates, which are text here; no UTF-8, which the other way tells
    }
    return long_way(here, value(utf8));
}

} // namespace

py::ref to_object(core::interpreter& here, const value& v) {
    if (const auto* const number = v.get_if<std::int64_t>()) {
        return py::require(PyLong_FromLongLong(*number));
    }
    if (v.is_none()) {
        return py::ref::share(Py_None);
    }
    if (const auto* const real = v.get_if<double>()) {
        return py::require(PyFloat_FromDouble(*real));
    }
    if (const auto* const truth = v.get_if<bool>()) {
        return py::ref::share(*truth ? Py_True : Py_False);
    }
    if (const auto* const data = v.get_if<bytes>(); data != nullptr && data->size() <= small) {
        return octets(data->view());
    }
    return long_way(here, v);
}

py::ref to_larger_object(core::interpreter& here, const detail::argument& given) {
    using kind = detail::argument::kind;
    switch (given.is()) {
    case kind::none:
        break;
    case kind::truth:
        return py::ref::share(given.truth() ? Py_True : Py_False);
    case kind::integer:
        return py::require(PyLong_FromLongLong(given.integer()));
    case kind::real:
        return py::require(PyFloat_FromDouble(given.real()));
    case kind::utf8:
        return text_of(here, given.view());
    case kind::octets:
        return given.view().size() <= small ? octets(given.view())
                                            : long_way(here, value::of(bytes(given.view())));
    case kind::whole:
        return to_object(here, given.whole());
    }
    return py::ref::share(Py_None);
}

detail::scalar from_larger_object(core::interpreter& here, PyObject* o, std::optional<value>& other) {
    using kind = detail::scalar::kind;
    if (PyLong_CheckExact(o)) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (overflow == 0) {
            return {kind::integer, {.integer = number}};
        }
    } else if (o == Py_None) {
        return {};
    } else if (PyFloat_CheckExact(o)) {
        return {kind::real, {.real = PyFloat_AS_DOUBLE(o)}};
    } else if (PyBool_Check(o)) {
        return {kind::truth, {.truth = o == Py_True}};
    }
    other.emplace(detail::decode(crossing::encode(here, o)));
    return {kind::other, {}};
}

} // namespace isthmus::host

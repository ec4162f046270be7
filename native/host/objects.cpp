#include "host/objects.hpp"

#include "cxx/codec.hpp"

#include "crossing/crossing.hpp"

#include <optional>

namespace isthmus::host {
namespace {

/// Nothing: it takes the long way.
std::optional<value> simple_value(PyObject* o) {
    if (PyLong_CheckExact(o)) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(o, &overflow);
        return overflow == 0 ? std::optional(value::of(std::int64_t{number})) : std::nullopt;
    }
    if (o == Py_None) {
        return value();
    }
    if (PyFloat_CheckExact(o)) {
        return value::of(PyFloat_AS_DOUBLE(o));
    }
    if (PyBool_Check(o)) {
        return value::of(o == Py_True);
    }
    return std::nullopt;
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
    return crossing::decode(here, detail::encode(v));
}

value from_object(core::interpreter& here, PyObject* o) {
    if (std::optional<value> simple = simple_value(o)) {
        return *std::move(simple);
    }
    return detail::decode(crossing::encode(here, o));
}

} // namespace isthmus::host

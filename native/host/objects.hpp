/// Values as objects of the interpreter that the calling thread is in, and back, without a message where
/// there is a short way. Under its GIL. All throw py::python_error (NotShareableError among them),
/// std::bad_alloc.
#pragma once

#include <isthmus/function.hpp>
#include <isthmus/value.hpp>

#include "cpython/refs.hpp"

#include "core/registry.hpp"

#include <optional>

namespace isthmus::host {

[[nodiscard]] py::ref to_object(core::interpreter& here, const value& v);
[[nodiscard, gnu::noinline]] py::ref to_larger_object(core::interpreter& here, const detail::argument& given);
/// Throws std::invalid_argument too: text that is not UTF-8.
[[nodiscard]] inline py::ref to_object(core::interpreter& here, const detail::argument& given) {
    return given.is() == detail::argument::kind::integer ? py::require(PyLong_FromLongLong(given.integer()))
                                                         : to_larger_object(here, given);
}
[[nodiscard, gnu::noinline]] detail::scalar from_larger_object(core::interpreter& here, PyObject* o,
                                                               std::optional<value>& other);
/// What is no scalar is put into `other`.
[[nodiscard]] inline detail::scalar from_object(core::interpreter& here, PyObject* o,
                                                std::optional<value>& other) {
    const auto* const number = reinterpret_cast<PyLongObject*>(o);
    return PyLong_CheckExact(o) && PyUnstable_Long_IsCompact(number) != 0
               ? detail::scalar{detail::scalar::kind::integer,
                                {.integer = PyUnstable_Long_CompactValue(number)}}
               : from_larger_object(here, o, other);
}

} // namespace isthmus::host

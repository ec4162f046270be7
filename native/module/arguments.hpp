/// Arguments of vectorcall methods: one positional-or-keyword parameter list, without a tuple or a dict.
#pragma once

#include "cpython/refs.hpp"

#include "core/conduit.hpp"
#include "core/futex.hpp"

#include <array>
#include <cstddef>

namespace isthmus::module {

/// Up to N parameters by position or by `names[i]`, those from `positional` on by name only; the first
/// `required` must be given, later ones are null if absent. Throws python_error (TypeError).
template <std::size_t N>
std::array<PyObject*, N> parse(const char* function, const std::array<const char*, N>& names,
                               std::size_t required, PyObject* const* args, Py_ssize_t count,
                               PyObject* keywords, std::size_t positional = N) {
    std::array<PyObject*, N> found{};
    if (static_cast<std::size_t>(count) > positional) {
        py::fail(PyExc_TypeError, "%s() takes at most %zu positional arguments (%zd given)", function,
                 positional, count);
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        found[i] = args[i];
    }
    const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t k = 0; k < named; ++k) {
        std::size_t i = 0;
        while (i < N && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, k), names[i]) != 0) {
            ++i;
        }
        if (i == N || found[i] != nullptr) {
            py::fail(PyExc_TypeError, "%s() got an unexpected or repeated keyword argument %R", function,
                     PyTuple_GET_ITEM(keywords, k));
        }
        found[i] = args[count + k];
    }
    for (std::size_t i = 0; i < required; ++i) {
        if (found[i] == nullptr) {
            py::fail(PyExc_TypeError, "%s() misses the argument '%s'", function, names[i]);
        }
    }
    return found;
}

/// An id as a Python integer: 0, which nothing has, for what is out of range. Throws nothing.
[[nodiscard]] std::uint64_t id_of(PyObject* integer) noexcept;

/// A new int: a descriptor that is readable while the operation would not block (conduit::watch). Throws
/// python_error (OSError), std::bad_alloc.
[[nodiscard]] PyObject* descriptor_of(core::conduit& of, core::end which, core::party& by);

/// A timeout in float seconds as a point on the monotonic clock; None or null waits without limit. Throws
/// python_error: TypeError, ValueError (negative or NaN).
[[nodiscard]] core::futex::deadline deadline_of(PyObject* timeout);

} // namespace isthmus::module

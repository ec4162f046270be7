/// Callables that are named by text, for jobs of a host's.
#pragma once

#include "module/run.hpp"

namespace isthmus::module {

/// "f": in `main`, a dict, or else a builtin. "a.b.f": attributes of `main`'s `a`, or else `f` of the module
/// `a.b`. "a.b:C.f": attributes of that module. Imports what is not there. Throws python_error: NameError,
/// ModuleNotFoundError, AttributeError, ValueError for an empty part.
[[nodiscard]] py::ref find_callable(core::interpreter& here, const std::string& name, PyObject* main);

/// What is called, and with what: a tuple, and a dict or None.
struct decoded_call {
    py::ref callable;
    py::ref arguments;
    py::ref keywords;
};
/// Throws python_error. Consumes the messages.
[[nodiscard]] decoded_call decode_named(core::interpreter& here, job::named_call& named, PyObject* main);

} // namespace isthmus::module

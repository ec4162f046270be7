/// Values as objects of the interpreter that the calling thread is in, and back, without a message where
/// there is a short way. Under its GIL. Both throw py::python_error (NotShareableError among them),
/// std::bad_alloc.
#pragma once

#include <isthmus/value.hpp>

#include "cpython/refs.hpp"

#include "core/registry.hpp"

namespace isthmus::host {

[[nodiscard]] py::ref to_object(core::interpreter& here, const value& v);
[[nodiscard]] value from_object(core::interpreter& here, PyObject* o);

} // namespace isthmus::host

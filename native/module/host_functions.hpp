/// `isthmus.host`: functions of the host's C++ code that Python calls.
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::module {

// Module functions.
PyObject* host_call(PyObject* module, PyObject* const* args, Py_ssize_t count);
PyObject* host_has(PyObject* module, PyObject* name);
PyObject* host_names(PyObject* module, PyObject*);

} // namespace isthmus::module

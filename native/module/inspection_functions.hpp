/// The native half of isthmus.inspection.
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::module {

// METH_NOARGS. They give the GIL up while they work: the serving thread is never waited for under one.
PyObject* inspection_serve(PyObject* module, PyObject*);
PyObject* inspection_stop(PyObject* module, PyObject*);
PyObject* inspection_path(PyObject* module, PyObject*);
PyObject* inspection_snapshot(PyObject* module, PyObject*);

} // namespace isthmus::module

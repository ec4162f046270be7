/// Module functions about memory: where an object lies, who owns it, what the runtime holds.
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::module {

PyObject* enable(PyObject* module, PyObject*);
PyObject* share(PyObject* module, PyObject* o);
PyObject* clone(PyObject* module, PyObject* o);
PyObject* owner(PyObject* module, PyObject* o);
PyObject* describe(PyObject* module, PyObject* o);
PyObject* same_memory(PyObject* module, PyObject* const* args, Py_ssize_t count);
PyObject* is_shareable(PyObject* module, PyObject* o);
PyObject* stats(PyObject* module, PyObject*);
PyObject* doctor_facts(PyObject* module, PyObject*);
#ifndef NDEBUG
/// For tests of the checks in cpython/refs.hpp: counts a reference of whatever lies at `address` and drops it
/// again; without a thread state if `attached` is false.
PyObject* touch_reference(PyObject* module, PyObject* const* args, Py_ssize_t count);
#endif

} // namespace isthmus::module

/// The type `Interpreter`, and what makes and finds its objects.
#pragma once

#include "module/state.hpp"

#include "core/message.hpp"

#include <memory>

namespace isthmus::module {

void add_interpreter_type(PyObject* module);

/// The one object for the interpreter with this CPython id, in the current interpreter. Throws python_error.
[[nodiscard]] py::ref make_interpreter(state& s, std::int64_t number);

/// Takes over the handle that attaching gave to the maker of an interpreter. Throws std::bad_alloc: the
/// handle has ended.
[[nodiscard]] std::unique_ptr<core::attachment> adopt_handle(const core::interpreter_ref& record);
[[nodiscard]] std::unique_ptr<core::attachment> pack_interpreter(state& s, PyObject* o);
[[nodiscard]] py::ref unpack_interpreter(state& s, core::attachment& travelling);

// Module functions.
PyObject* create(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords);
PyObject* list_all(PyObject* module, PyObject*);
PyObject* get_current(PyObject* module, PyObject*);
PyObject* get_main(PyObject* module, PyObject*);

} // namespace isthmus::module

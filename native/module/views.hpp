/// Views in the module: `SendChannel.send_buffer`, and the type behind received memoryviews.
#pragma once

#include "module/state.hpp"

#include "core/message.hpp"

namespace isthmus::module {

/// Makes the type isthmus.View for one interpreter's module. Throws python_error.
void add_view_type(PyObject* module);

/// A memoryview of a view that travelled here; null if `travelling` is none. Throws python_error.
[[nodiscard]] py::ref unpack_view(state& s, core::attachment& travelling);

/// The method of SendChannel.
PyObject* send_buffer(PyObject* end, PyObject* const* args, Py_ssize_t count, PyObject* keywords);
inline constexpr char send_buffer_doc[] =
    "send_buffer($self, obj, timeout=None)\n--\n\n"
    "Send the buffer of `obj`; the receiver gets a memoryview of the same memory, writable if the buffer "
    "is.\n\n"
    "`obj` counts as exported until every memoryview of it is gone; then its buffer is released in this "
    "interpreter. An\ninterpreter that ends before keeps the memory for those who see it. Raises TypeError "
    "if "
    "`obj` exports no buffer;\notherwise as `send`.";

} // namespace isthmus::module

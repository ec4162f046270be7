/// Views: buffers cross as the memory they are (design section 2, "view"). The sender's exporter is lent, the
/// receiver gets a `memoryview` of the same memory, with the same format, shape, strides and read-only flag.
///
/// In the receiver an object of type `isthmus.View` stands for the exporter: the memoryview, its slices and
/// its casts hold it, it holds the view. Sent on, its memory is lent by the first owner as before: no chain.
#pragma once

#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

#include <memory>

namespace isthmus::crossing {

/// Whether plain `send` makes `o` a view: a memoryview, an mmap, an isthmus.View.
[[nodiscard]] bool crosses_as_view(PyObject* o) noexcept;

/// The travelling form of the buffer of `o`. Throws python_error: TypeError if it exports none,
/// NotShareableError if its exporter refuses (ValueError, BufferError), else what the exporter raised.
/// Current interpreter: `from`, under its GIL.
[[nodiscard]] std::unique_ptr<core::attachment> pack_view(core::interpreter& from, PyObject* o);

/// A message with the buffer of `o`, for SendChannel.send_buffer. As pack_view.
[[nodiscard]] core::message encode_view(core::interpreter& from, PyObject* o);

/// A memoryview in the current interpreter, over an object of `exporter_type`; null if `travelling` is no
/// view. Throws python_error, std::bad_alloc.
[[nodiscard]] py::ref unpack_view(core::interpreter_ref to, PyTypeObject* exporter_type,
                                  core::attachment& travelling);

/// The type isthmus.View of one interpreter's module. Throws python_error.
[[nodiscard]] py::ref make_exporter_type(PyObject* module);

/// Whose memory `o` shows, if it is a view that crossed (a memoryview over one, an isthmus.View); else null.
[[nodiscard]] core::interpreter_ref owner_of_view(PyObject* o) noexcept;

/// Whether the buffers of `a` and `b` begin at the same byte of memory; false if either exports none, or is
/// empty. Throws python_error: what an exporter raised.
[[nodiscard]] bool same_buffer(PyObject* a, PyObject* b);

} // namespace isthmus::crossing

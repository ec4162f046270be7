/// `isthmus._Descriptor`: what sockets and raw files are taken apart into (isthmus/_descriptors.py). Private:
/// users send the socket or the file.
#pragma once

#include "module/state.hpp"

#include "core/message.hpp"

#include <memory>

namespace isthmus::module {

/// Makes the type for one interpreter's module. Throws python_error.
void add_descriptor_type(PyObject* module);

/// The travelling form, or null if `o` is none. Throws std::bad_alloc.
[[nodiscard]] std::unique_ptr<core::attachment> pack_descriptor(const state& s, PyObject* o);
/// Null if `travelling` is no descriptor. Throws python_error.
[[nodiscard]] py::ref unpack_descriptor(const state& s, core::attachment& travelling);

} // namespace isthmus::module

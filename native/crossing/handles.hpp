/// Values that are the same thing on both sides: channel ends, interpreters. Their Python types belong to the
/// module layer, which says here how they cross.
#pragma once

#include "cpython/refs.hpp"

#include "core/message.hpp"

#include <memory>

namespace isthmus::crossing {

struct handle_codec {
    /// The travelling form of `o`, or null if it is no handle. Throws python_error.
    std::unique_ptr<core::attachment> (*pack)(PyObject* o);
    /// The object for it in the current interpreter. Throws python_error.
    py::ref (*unpack)(core::attachment& travelling);
};

/// Each interpreter sets the same one, which lives for ever, before anything crosses there.
void set_handle_codec(const handle_codec& codec) noexcept;
[[nodiscard]] const handle_codec& handles() noexcept;

} // namespace isthmus::crossing

/// Which interpreter the calling thread runs in, as the runtime knows it.
#pragma once

#include "cpython/compat.hpp"

#include "core/registry.hpp"

namespace isthmus::py {

/// The record of the interpreter that the calling thread is attached to; null if none, or if isthmus is not
/// attached to it. Cached per thread: a few nanoseconds. Valid while the thread stays attached. Takes no
/// Python lock, allocates nothing.
[[nodiscard]] core::interpreter* current_interpreter() noexcept;

/// The same, shared; for whoever keeps it. May throw.
[[nodiscard]] core::interpreter_ref current_interpreter_ref();

} // namespace isthmus::py

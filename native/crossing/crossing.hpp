/// The two halves of a crossing: an object becomes a message in its interpreter, a message becomes an object
/// in another.
///
/// Both run under the GIL of their own interpreter only; between them the message belongs to no interpreter.
/// What fails half-way leaves nothing behind: messages and parcels drop what they hold.
#pragma once

#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

namespace isthmus::crossing {

/// Throws python_error: NotShareableError (with the path to the part that can't cross and its type),
/// MemoryError, or whatever a
/// `__reduce__` of the user's raised.
[[nodiscard]] core::message encode(core::interpreter& from, PyObject* o);

/// Consumes the message, also when it throws (python_error: MemoryError, or what unpickling raised).
[[nodiscard]] py::ref decode(core::interpreter& to, core::message m);

/// `o` there and back without leaving: what the receiver of a message would get, in the same interpreter.
/// `placing`: large `bytes` and `str` in it arrive as objects that lie in shared memory. Throws as encode and
/// decode do.
[[nodiscard]] py::ref clone(core::interpreter& here, PyObject* o, bool placing);

/// Whether `encode` would take it. Runs the same code, so that it tells the truth in depth.
[[nodiscard]] bool is_shareable(core::interpreter& from, PyObject* o);

} // namespace isthmus::crossing

/// Interpreters that somebody else made, and what went wrong in another one told in the caller's.
#pragma once

#include "module/state.hpp"

#include <optional>
#include <string>

namespace isthmus::module {

/// The record of the interpreter with this id; attaches the runtime to one that somebody else made. Throws
/// python_error: InterpreterNotFoundError, InterpreterError if it can't be attached to. std::bad_alloc: there
/// is no memory for that.
[[nodiscard]] core::interpreter_ref resolve(const state& s, std::int64_t number);

/// The error that is set, as text; nothing if it is a MemoryError, or there is no memory for the text. In the
/// interpreter that raised it, under its GIL. None is set afterwards.
[[nodiscard]] std::optional<std::string> taken_error() noexcept;

} // namespace isthmus::module

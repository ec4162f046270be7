/// What went wrong in another interpreter, told in the caller's.
#pragma once

#include "module/state.hpp"

#include <optional>
#include <string>

namespace isthmus::module {

/// The error that is set, as text; nothing if it is a MemoryError, or there is no memory for the text. In the
/// interpreter that raised it, under its GIL. None is set afterwards.
[[nodiscard]] std::optional<std::string> taken_error() noexcept;

} // namespace isthmus::module

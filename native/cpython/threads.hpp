/// The threads of an interpreter that CPython will not join when it ends it: daemon threads, and those made
/// with `_thread` alone. Ending it with one left is a fatal error.
#pragma once

#include "cpython/refs.hpp"

#include "core/patience.hpp"
#include "core/registry.hpp"

namespace isthmus::py {

/// Deletes the thread states that refused threads left (compat::is_of_refused_thread). In an interpreter,
/// under its GIL.
void forget_refused_threads() noexcept;

/// Attached to another interpreter, while `record`'s can't end. A thread that is just ending is waited for, a
/// tenth of a second at most, without a GIL.
[[nodiscard]] bool has_threads_nobody_joins(core::interpreter& record);

/// Raises SystemExit in them, again each second, since code may swallow one, and waits until they have ended:
/// false if they have not when `patience` is over. As above.
[[nodiscard]] bool end_threads_nobody_joins(core::interpreter& record, core::patience& patience);

} // namespace isthmus::py

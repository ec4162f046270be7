/// How interpreters end: by isthmus, by somebody else, with the process.
#pragma once

#include "cpython/lifecycle.hpp"

#include "core/patience.hpp"

namespace isthmus::py {

/// Registers the current interpreter's exit handler: shuts its gate before CPython tears it down (H6, H7);
/// main's also closes the interpreters isthmus made and joins all helpers. Throws python_error.
void register_exit(const core::interpreter_ref& record);

/// Nobody but the interpreter's own threads is inside afterwards, and nobody gets in any more. Attached to
/// any interpreter. A posted call that runs is waited for; the others fail.
void keep_everybody_out(core::interpreter& record);

/// A daemon thread that drops the last reference to an interpreter closes it, and must be back before CPython
/// finalises: it would be ended inside, which happens to it when `patience` is over. Attached to main.
void wait_for_closers(core::patience& patience);

/// The interpreter state no longer exists: settles everything about it. Any GIL but its own.
void settle_gone(const core::interpreter_ref& record);

/// What helpers do: enter `record`'s interpreter on the calling thread, which has no thread state, and drain
/// its inbox. False: it can't be entered any more.
bool enter_and_drain(core::interpreter& record);

} // namespace isthmus::py

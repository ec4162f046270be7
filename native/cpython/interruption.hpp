/// Makes the runs in another interpreter end, when the process exits.
#pragma once

#include "core/registry.hpp"

namespace isthmus::py {

/// From now on no run of isthmus begins in `record`, its waits fail, and the code of its current runs, and of
/// the posted call that runs there (`calls` is shut), is interrupted: by a KeyboardInterrupt, at once and
/// again each second until none is left, since code may catch one, or lose it in a finalizer. Gives up at
/// `until`. Returns at once; the first time counts. Any GIL or none.
void begin_stopping(const core::interpreter_ref& record, core::futex::nanoseconds until);

/// True once no run is left there; false if `until` passed first. No GIL: the runs need theirs, and their
/// callers' too.
[[nodiscard]] bool wait_until_stopped(const core::interpreter& record,
                                      core::futex::nanoseconds until) noexcept;

} // namespace isthmus::py

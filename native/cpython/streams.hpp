/// What code has printed and the process has not seen yet.
#pragma once

namespace isthmus::py {

/// Flushes sys.stdout and sys.stderr of the current interpreter: each has buffers of its own, and what one
/// printed should be seen before what the next one prints. What stdout can't get rid of is reported as
/// unraisable, as CPython does when it finalises. No error is set before or afterwards.
void flush_streams();

} // namespace isthmus::py

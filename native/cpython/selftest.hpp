/// The start-up check of everything undocumented that twins rest on: object layout, hook, release by address.
#pragma once

namespace isthmus::py {

/// Makes one large `bytes` and one `str` of each kind, takes them through a second window and back, and looks
/// at every step. Returns "" if all held, else what did not. No Python error is left set. Current interpreter
/// attached, placement on.
[[nodiscard]] const char* run_selftest() noexcept;

} // namespace isthmus::py

/// The hook on CPython's object allocator: places large object allocations of attached interpreters in slots.
///
/// It wraps whatever allocator is there (documented for PyMem_SetAllocator after start-up) and keeps its
/// `ctx`, so that a thread that reads the old function with the new context, or the other way round, still
/// calls a matching pair. Until placement is switched on, everything passes through; from then on a block is
/// freed by address, whoever allocated it.
///
/// Rules of the functions CPython calls: the GIL is held (object domain), no Python is run, nothing throws.
/// Freeing needs no thread state and no module state: it works while an interpreter is torn down (invariant
/// 4).
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::py {

/// Installs the hook, passing everything through; puts it back if it is gone, as after a host has initialised
/// CPython again. Needs an attached thread. Idempotent. If tracemalloc is
/// tracing, it is stopped and started again on top of the hook, with a RuntimeWarning that the traces so far
/// are gone (H5). False with a Python error set.
[[nodiscard]] bool install_hook();

/// From now on large objects of attached interpreters lie in slots. Checks by a probe that they do; false:
/// they don't, everything is copied. Idempotent; needs an attached interpreter with a window.
[[nodiscard]] bool switch_placement_on();
[[nodiscard]] bool placement_is_on() noexcept;

/// Our hook is still in the chain of allocators: twins may be made. If somebody took it out it is put back
/// first. With the GIL.
[[nodiscard]] bool hook_in_place() noexcept;

} // namespace isthmus::py

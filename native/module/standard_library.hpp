/// Channel ends and queues through the standard library's own queues and `prepare_main`.
#pragma once

#include "module/state.hpp"

namespace isthmus::module {

/// Registers our types with it, in the current interpreter. They travel by id: whoever sends one holds it
/// until it has arrived. Where this CPython offers no way, it keeps refusing them; nothing is raised.
void let_standard_library_pass(const state& s) noexcept;

} // namespace isthmus::module

/// New interpreters, for `create` and for hosts.
#pragma once

#include "cpython/lifecycle.hpp"

#include "core/message.hpp"

#include <optional>
#include <string>

namespace isthmus::module {

/// Its own GIL and allocator state; threads, but no daemon threads; no fork or exec (they would take the
/// process with them).
inline constexpr PyInterpreterConfig isolated = {0, 0, 0, 1, 0, 1, PyInterpreterConfig_OWN_GIL};
/// As before PEP 684: main's GIL and allocator state, everything allowed, extensions that refuse isolation
/// too.
inline constexpr PyInterpreterConfig legacy = {1, 1, 1, 1, 1, 0, PyInterpreterConfig_SHARED_GIL};

/// H14: where the first import of datetime inside isolated interpreters corrupts the heap, main imports it
/// first. Attached to any interpreter. Throws python_error if that is main.
void prepare_main_interpreter();

struct made_interpreter {
    core::interpreter_ref record; ///< null: it failed
    std::string why;              ///< empty: for want of memory
};

/// A new interpreter, idle; its record holds one handle, the caller's. `path`: its sys.path, an iterable. The
/// calling thread is attached to an interpreter, or to none.
[[nodiscard]] made_interpreter make_interpreter(const PyInterpreterConfig& config, core::message path,
                                                std::optional<std::string> label);

} // namespace isthmus::module

/// The start of the process's one runtime: by the Python module or by a host without Python, whichever is
/// first.
#pragma once

namespace isthmus::core {

/// Starts the memory, by the options in the environment, and makes forks safe. Idempotent; any thread,
/// whether it holds a GIL or not. That the memory could not start (`memory().started()`) is no failure:
/// everything is copied then. May throw std::bad_alloc, and start again at the next call.
void start();

} // namespace isthmus::core

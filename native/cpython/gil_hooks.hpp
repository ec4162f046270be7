/// C++ waits of a thread that holds a GIL (cxx/blocking.hpp).
#pragma once

namespace isthmus::py {

/// Lets them release it. At the runtime's start; idempotent.
void install_gil_hooks() noexcept;

} // namespace isthmus::py

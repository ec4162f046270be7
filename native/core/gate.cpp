#include "core/gate.hpp"

namespace isthmus::core {

constinit thread_local gate_entries gate::here_;

} // namespace isthmus::core

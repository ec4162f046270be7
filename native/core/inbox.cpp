#include "core/inbox.hpp"

namespace isthmus::core {

constinit inbox_node inbox::closed_;

} // namespace isthmus::core

#include <isthmus/error.hpp>

namespace isthmus {

// Defined once, so that a host catches what the library throws.
error::~error() = default;
interpreter_error::~interpreter_error() = default;
not_shareable_error::~not_shareable_error() = default;
closed_error::~closed_error() = default;
released_error::~released_error() = default;
poisoned_error::~poisoned_error() = default;
timeout_error::~timeout_error() = default;
cancelled_error::~cancelled_error() = default;
type_error::~type_error() = default;

} // namespace isthmus

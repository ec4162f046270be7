/// Calls by name, as jobs.
#pragma once

#include <isthmus/value.hpp>

#include "module/run.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isthmus::host {

/// Everything that crosses is encoded here. Throws not_shareable_error, std::bad_alloc. Any thread, no GIL.
[[nodiscard]] module::job calling(std::string_view name, const std::vector<value>& arguments,
                                  const std::vector<std::pair<std::string, value>>& keywords);

} // namespace isthmus::host

#include "crossing/handles.hpp"

namespace isthmus::crossing {
namespace {
constinit handle_codec current{};
}

void set_handle_codec(const handle_codec& codec) noexcept {
    current = codec;
}

const handle_codec& handles() noexcept {
    return current;
}

} // namespace isthmus::crossing

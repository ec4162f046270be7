#include "crossing/handles.hpp"

#include <atomic>

namespace isthmus::crossing {
namespace {
constinit std::atomic<const handle_codec*> current{nullptr};
}

void set_handle_codec(const handle_codec& codec) noexcept {
    // Every interpreter sets the same one, while others use it.
    current.store(&codec, std::memory_order_release);
}

const handle_codec& handles() noexcept {
    return *current.load(std::memory_order_acquire);
}

} // namespace isthmus::crossing

#include "cxx/blocking.hpp"

#include <atomic>

namespace isthmus::detail {
namespace {
constinit std::atomic<const gil_hooks*> installed_hooks{nullptr};
}

void set_gil_hooks(const gil_hooks* hooks) noexcept {
    installed_hooks.store(hooks, std::memory_order_release);
}

const gil_hooks* current_gil_hooks() noexcept {
    return installed_hooks.load(std::memory_order_acquire);
}

core::party& host_party() {
    static const auto* const only = new std::shared_ptr<core::party>(core::party::create());
    return **only;
}

core::futex::deadline deadline_of(patience timeout) noexcept {
    constexpr std::chrono::hours ten_years{
        87'600}; // nobody waits longer; a sum with the clock can't overflow
    if (!timeout || *timeout > ten_years) {
        return std::nullopt;
    }
    return core::futex::now() + (may_wait(timeout) ? timeout->count() : 0);
}

} // namespace isthmus::detail

#include "core/lock.hpp"

namespace isthmus::core {
namespace {

/// About a microsecond: longer than any critical section takes while its holder runs.
constexpr int spins_before_sleep = 40;

} // namespace

#ifndef NDEBUG
constinit thread_local unsigned held_locks::count_ = 0;
#endif

void short_lock::lock_slowly() noexcept {
    for (int i = 0; i < spins_before_sleep; ++i) {
        futex::relax();
        if (word_.load(std::memory_order_relaxed) == free_ && try_lock()) {
            return;
        }
    }
    // From here on we take the lock as "contended": we can't know whether others sleep, so our unlock must
    // wake one.
    while (word_.exchange(contended_, std::memory_order_acquire) != free_) {
        futex::wait(word_, contended_);
    }
    held_locks::one_more();
}

} // namespace isthmus::core

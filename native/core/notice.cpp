#include "core/notice.hpp"

#include <mutex>

namespace isthmus::core {

void notice::give() noexcept {
    wakeup owed;
    {
        const std::lock_guard guard(lock_);
        given_.store(true, std::memory_order_release);
        while (parked* const place = waiting_.front()) {
            waiting_.unlink(*place);
            // Wakes all but the last one under the lock: the call neither blocks nor calls back.
            static_cast<void>(place->who->complete(outcome::ok, owed, place->tag));
        }
    }
    owed.fire(); // who wakes finds the lock free
}

outcome notice::wait(party& by, futex::deadline until, wait_site& site, spin_budget& spinning) noexcept {
    waiter self;
    parked place;
    place.who = &self;
    place.by = by.id();
    if (!park(place)) {
        return outcome::ok;
    }
    const outcome how = self.wait(by, until, site, spinning);
    unpark(place);
    return how;
}

bool notice::park(parked& place) noexcept {
    const std::lock_guard guard(lock_);
    if (given()) {
        return false;
    }
    waiting_.push_back(place);
    return true;
}

void notice::unpark(parked& place) noexcept {
    const std::lock_guard guard(lock_);
    if (place.linked) {
        waiting_.unlink(place);
    }
}

} // namespace isthmus::core

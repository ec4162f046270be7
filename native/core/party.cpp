#include "core/party.hpp"

#include "core/directory.hpp"
#include "core/immortal.hpp"
#include "core/waiter.hpp"

#include <limits>
#include <mutex>

namespace isthmus::core {

std::shared_ptr<party> party::create() {
    const party_id id = all().next_id();
    std::shared_ptr<party> made(new party(id));
    all().enter(id, made);
    return made;
}

directory<party>& party::all() noexcept {
    return immortal<directory<party>>();
}

party::~party() {
    all().forget(id_);
}

void party::begin_close() noexcept {
    const std::lock_guard guard(enrolled_lock_);
    closing_.store(true, std::memory_order_seq_cst);
    // A waiter can't leave while it is listed: withdraw needs the lock we hold.
    for (waiter* w = enrolled_; w != nullptr; w = w->next_of_party_) {
        wakeup owed;
        static_cast<void>(w->complete(outcome::party_closing, owed));
        owed.fire();
    }
}

void party::interrupt(const std::atomic<std::uint32_t>& counted) noexcept {
    const std::lock_guard guard(enrolled_lock_);
    for (waiter* w = enrolled_; w != nullptr; w = w->next_of_party_) {
        if (w->interruptions_ == &counted) {
            w->interrupt();
        }
    }
}

bool party::wait_idle(futex::deadline until) const noexcept {
    // Sequentially consistent on both sides: either leave() sees us waiting, or we see the count it left.
    awaited_.store(true, std::memory_order_seq_cst);
    for (std::uint32_t left = waiters(); left != 0; left = waiters()) {
        if (futex::wait(present_, left, until) == futex::wait_result::timed_out) {
            return waiters() == 0;
        }
    }
    return true;
}

void party::leave() noexcept {
    if (present_.fetch_sub(1, std::memory_order_seq_cst) == 1 && awaited_.load(std::memory_order_seq_cst)) {
        futex::wake(&present_, std::numeric_limits<int>::max());
    }
}

bool party::enroll(waiter& w) noexcept {
    const std::lock_guard guard(enrolled_lock_);
    if (closing()) {
        return false;
    }
    w.next_of_party_ = enrolled_;
    if (enrolled_ != nullptr) {
        enrolled_->previous_of_party_ = &w;
    }
    enrolled_ = &w;
    return true;
}

void party::withdraw(waiter& w) noexcept {
    const std::lock_guard guard(enrolled_lock_);
    if (w.next_of_party_ != nullptr) {
        w.next_of_party_->previous_of_party_ = w.previous_of_party_;
    }
    (w.previous_of_party_ != nullptr ? w.previous_of_party_->next_of_party_ : enrolled_) = w.next_of_party_;
}

void party::forget_waits() noexcept {
    std::destroy_at(&enrolled_lock_); // its holder may be one of them
    std::construct_at(&enrolled_lock_);
    enrolled_ = nullptr;
    present_.store(0, std::memory_order_seq_cst);
    awaited_.store(false, std::memory_order_seq_cst);
}

} // namespace isthmus::core

/// Where a channel's waiters queue, first come first served.
#pragma once

#include "core/message.hpp"
#include "core/party.hpp"
#include "core/waiter.hpp"

#include <cstddef>

namespace isthmus::core {

/// One waiter in one channel's queue, on the waiting thread's stack. It stays valid while it is linked: only
/// its own thread unlinks it without completing the waiter first. A select parks several with one waiter.
struct parked {
    waiter* who = nullptr;
    party_id by = 0;
    /// A receiver's: where its message goes (empty). A sender's: the message it offers.
    message* cargo = nullptr;
    std::uint32_t tag = 0; ///< given to the waiter at completion
    parked* next = nullptr;
    parked* previous = nullptr;
    bool linked = false;
};

/// A send or recv on one channel while it is parked. The one who completes it touches two cache lines and no
/// more: the message, and everything else it looks at.
struct alignas(128) parked_operation {
    message slot;
    alignas(64) parked place;
    waiter self; ///< its state word still lies in place's line

    parked_operation(party_id by, std::uint32_t tag = 0) noexcept {
        place.who = &self;
        place.by = by;
        place.cargo = &slot;
        place.tag = tag;
    }
};
static_assert(sizeof(parked) + sizeof(futex::word) <= 64);

/// Not thread safe: guarded by the lock of the channel it belongs to.
class parking_queue {
  public:
    [[nodiscard]] parked* front() const noexcept { return first_; }
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

    /// Somebody waits here who is not `who`: a select does not meet itself.
    [[nodiscard]] bool has_other_than(const waiter* who) const noexcept {
        const parked* p = first_;
        while (p != nullptr && p->who == who) {
            p = p->next;
        }
        return p != nullptr;
    }

    [[nodiscard]] std::size_t size() const noexcept {
        std::size_t count = 0;
        for (const parked* p = first_; p != nullptr; p = p->next) {
            ++count;
        }
        return count;
    }

    /// Takes all off without touching them: in a forked child their threads' stacks may be used again.
    void forget() noexcept { first_ = last_ = nullptr; }

    void push_back(parked& p) noexcept {
        p.previous = last_;
        p.next = nullptr;
        p.linked = true;
        (last_ != nullptr ? last_->next : first_) = &p;
        last_ = &p;
    }

    void unlink(parked& p) noexcept {
        (p.previous != nullptr ? p.previous->next : first_) = p.next;
        (p.next != nullptr ? p.next->previous : last_) = p.previous;
        p.linked = false;
    }

  private:
    parked* first_ = nullptr;
    parked* last_ = nullptr;
};

} // namespace isthmus::core

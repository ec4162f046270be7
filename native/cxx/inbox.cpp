/// The inbox of include/isthmus/inbox.hpp over the core's.
///
/// Posting pushes to a lock-free list and, if that was empty, wakes the owner. Taking out of it is the
/// owner's, but closing, which any thread may do, takes as well: a mutex keeps those two apart, and guards
/// what was taken and waits to be run. No call of the user's runs, or is destroyed, under it.
#include <isthmus/inbox.hpp>

#include "cxx/blocking.hpp"

#include "core/inbox.hpp"

#include <atomic>
#include <limits>
#include <mutex>
#include <utility>

namespace isthmus {

inbox::node::~node() = default;

struct inbox::inside {
    struct letter final : core::inbox_node {
        std::unique_ptr<node> what;
        std::uint64_t number = 0; ///< in order of arrival
    };

    void drop_all() noexcept {
        take(true);
        while (next_before(std::numeric_limits<std::uint64_t>::max()) != nullptr) {
        }
    }

    /// Everything posted so far joins what waits; the number that the next one will get.
    std::uint64_t take(bool closing) noexcept {
        const std::lock_guard guard(taking_);
        core::inbox_node* each = closing ? box.close() : box.drain();
        while (each != nullptr) {
            auto* const letter_here = static_cast<letter*>(each);
            each = each->next_posted.load(std::memory_order_relaxed);
            letter_here->number = next_number_++;
            letter_here->next_posted.store(nullptr, std::memory_order_relaxed);
            if (newest_ != nullptr) {
                newest_->next_posted.store(letter_here, std::memory_order_relaxed);
            } else {
                oldest_ = letter_here;
            }
            newest_ = letter_here;
        }
        return next_number_;
    }

    /// The oldest that waits, if its number is below `limit`.
    std::unique_ptr<letter> next_before(std::uint64_t limit) noexcept {
        const std::lock_guard guard(taking_);
        if (oldest_ == nullptr || oldest_->number >= limit) {
            return nullptr;
        }
        std::unique_ptr<letter> first(oldest_);
        oldest_ = static_cast<letter*>(first->next_posted.load(std::memory_order_relaxed));
        newest_ = oldest_ != nullptr ? newest_ : nullptr;
        return first;
    }

    [[nodiscard]] bool anything() noexcept {
        if (!box.empty() || box.closed()) {
            return true;
        }
        const std::lock_guard guard(taking_);
        return oldest_ != nullptr;
    }

    /// What was pushed, or closed, before is seen by an owner that looks after this, or wakes him.
    void ring() noexcept {
        rings.fetch_add(1, std::memory_order_seq_cst);
        if (owner_waits.load(std::memory_order_seq_cst)) {
            core::futex::wake(&rings);
        }
    }

    core::inbox box;
    core::futex::word rings{0};
    std::atomic<bool> owner_waits{false};

  private:
    std::mutex taking_;
    letter* oldest_ = nullptr; ///< linked as in the box
    letter* newest_ = nullptr;
    std::uint64_t next_number_ = 0;
};

inbox::inbox() : inside_(std::make_shared<inside>()) {}

inbox::inbox(inbox&& other) noexcept = default;

inbox& inbox::operator=(inbox&& other) noexcept {
    const inbox ended(std::exchange(inside_, std::move(other.inside_)));
    return *this;
}

inbox::inbox(std::shared_ptr<inside> taken) noexcept : inside_(std::move(taken)) {}

inbox::~inbox() {
    if (inside_ != nullptr) {
        inside_->drop_all();
    }
}

bool inbox::post_node(std::unique_ptr<node> what) {
    const std::shared_ptr<inside> kept = inside_; // the call may end the inbox before this thread has rung
    auto made = std::make_unique<inside::letter>();
    made->what = std::move(what);
    const core::inbox::posted how = kept->box.post(*made);
    if (how == core::inbox::posted::refused) {
        return false;
    }
    static_cast<void>(made.release()); // the box's, and perhaps gone
    if (how == core::inbox::posted::first) {
        kept->ring();
    }
    return true;
}

std::size_t inbox::drain() {
    const std::uint64_t limit = inside_->take(false);
    const std::shared_ptr<inside> kept = inside_; // a call may end the inbox
    std::size_t run = 0;
    while (const std::unique_ptr<inside::letter> next = kept->next_before(limit)) {
        next->what->run();
        ++run;
    }
    return run;
}

bool inbox::wait(patience timeout) {
    inside& in = *inside_;
    const core::futex::deadline until = detail::deadline_of(timeout);
    if (in.anything() || !detail::may_wait(timeout)) {
        return in.anything();
    }
    return detail::without_gil([&] {
        in.owner_waits.store(true, std::memory_order_seq_cst);
        for (;;) {
            const std::uint32_t seen = in.rings.load(std::memory_order_seq_cst);
            const bool there = in.anything();
            if (there || core::futex::wait(in.rings, seen, until) == core::futex::wait_result::timed_out) {
                in.owner_waits.store(false, std::memory_order_relaxed);
                return there || in.anything();
            }
        }
    });
}

void inbox::close() noexcept {
    inside_->take(true);
    inside_->ring();
}

bool inbox::is_closed() const noexcept {
    return inside_->box.closed();
}

} // namespace isthmus

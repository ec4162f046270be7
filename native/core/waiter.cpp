#include "core/waiter.hpp"

#include "core/party.hpp"

#include <cassert>

namespace isthmus::core {
namespace {

/// Publishes a waiter to this thread's signal handlers for as long as it waits.
class publication {
  public:
    publication(wait_site& site, waiter& w) noexcept : current_(site.current) {
        if (current_ == nullptr) {
            return;
        }
        // The reader is a handler on this very thread, so program order is all that is needed.
        outer_ = current_->load(std::memory_order_relaxed);
        current_->store(&w, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (site.signals != nullptr && site.signals->load(std::memory_order_relaxed) != site.seen) {
            w.interrupt();
        }
    }
    ~publication() {
        if (current_ != nullptr) {
            std::atomic_signal_fence(std::memory_order_seq_cst);
            current_->store(outer_, std::memory_order_relaxed);
        }
    }
    publication(const publication&) = delete;
    publication& operator=(const publication&) = delete;

  private:
    std::atomic<waiter*>* current_;
    waiter* outer_ = nullptr;
};

} // namespace

bool waiter::complete(outcome how, wakeup& owed, std::uint32_t tag) noexcept {
    const std::uint32_t end = (ended + static_cast<std::uint32_t>(how)) | (tag << tag_shift);
    std::uint32_t seen = state_.load(std::memory_order_relaxed);
    while (seen <= sleeping) {
        // Release: what the completer wrote for the waiter (its message) is visible once it sees the end.
        if (state_.compare_exchange_weak(seen, end, std::memory_order_release, std::memory_order_relaxed)) {
            if (seen == sleeping) {
                owed.fire(); // a second one is owed: settle the first
                owed.sleeper_ = &state_;
            }
            return true;
        }
    }
    return false;
}

outcome waiter::result() const noexcept {
    const std::uint32_t low = state_.load(std::memory_order_acquire) & ((1U << tag_shift) - 1);
    return static_cast<outcome>(low - ended);
}

void waiter::finish(outcome how) noexcept {
    wakeup none; // nobody sleeps on our word but us
    static_cast<void>(complete(how, none));
}

outcome waiter::wait(party& by, futex::deadline until, wait_site& site, spin_budget& budget) noexcept {
    assert(held_locks::here() == 0); // invariant 8
    const party::presence here(by);
    const publication published(site, *this);
    if (spinning::spin(
            until, budget.get(), [this] { return !pending(); }, [&by] { return by.closing(); })) {
        budget.paid();
        return result();
    }
    budget.wasted();
    interruptions_ = site.interruptions;
    if (by.enroll(*this)) {
        if (site.interrupted_since()) { // W3
            finish(outcome::interrupted);
        }
        sleep(until, site.main_thread);
        by.withdraw(*this);
    } else {
        finish(outcome::party_closing);
    }
    return result();
}

void waiter::sleep(futex::deadline until, bool main_thread) noexcept {
    std::uint32_t expected = waiting;
    // W2. Relaxed: the word itself is all that is exchanged here; results are read with acquire afterwards.
    state_.compare_exchange_strong(expected, sleeping, std::memory_order_relaxed, std::memory_order_relaxed);
    while (pending()) {
        switch (futex::wait(state_, sleeping, until)) {
        case futex::wait_result::timed_out:
            finish(outcome::timed_out);
            break;
        case futex::wait_result::interrupted:
            if (main_thread) {
                finish(outcome::interrupted);
            }
            break;
        case futex::wait_result::woken:
            break;
        }
    }
}

} // namespace isthmus::core

#include "core/waiter.hpp"

#include "core/party.hpp"

#include <algorithm>
#include <cassert>
#include <thread>

namespace isthmus::core {
namespace {

/// A spinner that outlasts this is counted, so that spinners never occupy every processor.
constexpr futex::nanoseconds uncounted_spin = 1'000;

unsigned processors() noexcept {
    static const unsigned count = std::max(1U, std::thread::hardware_concurrency());
    return count;
}

std::atomic<unsigned> long_spinners{0};

/// Takes one of the processors that may be spent on spinning, if one is left.
class spin_permit {
  public:
    spin_permit() noexcept
        : granted_(long_spinners.fetch_add(1, std::memory_order_relaxed) + 1 < processors()) {}
    ~spin_permit() { long_spinners.fetch_sub(1, std::memory_order_relaxed); }
    spin_permit(const spin_permit&) = delete;
    spin_permit& operator=(const spin_permit&) = delete;
    [[nodiscard]] bool granted() const noexcept { return granted_; }

  private:
    bool granted_;
};

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

void spin_budget::wasted() noexcept {
    const std::uint32_t before = wasted_.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t half = nanoseconds_.load(std::memory_order_relaxed) / 2;
    const bool try_again = before % waits_between_tries == waits_between_tries - 1;
    nanoseconds_.store(try_again ? longest : std::max(shortest, half), std::memory_order_relaxed);
}

void waiter::forget_other_threads() noexcept {
    long_spinners.store(0, std::memory_order_relaxed);
}

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

outcome waiter::wait(party& by, futex::deadline until, wait_site& site, spin_budget& spinning) noexcept {
    assert(held_locks::here() == 0); // invariant 8
    const party::presence here(by);
    const publication published(site, *this);
    if (spin(by, until, spinning.get())) {
        spinning.paid();
        return result();
    }
    spinning.wasted();
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

bool waiter::spin(const party& by, futex::deadline until, futex::nanoseconds budget) const noexcept {
    for (int i = 0; i < 16; ++i) { // the common quick answer, without a look at the clock
        if (!pending()) {
            return true;
        }
        futex::relax();
    }
    if (processors() == 1) {
        return false;
    }
    const futex::nanoseconds start = futex::now();
    const futex::nanoseconds end = until ? std::min(*until, start + budget) : start + budget;
    const auto spin_until = [&](futex::nanoseconds limit, bool polite) {
        do {
            if (polite) {
                std::this_thread::yield(); // the one we wait for may be queued behind us on this very
                                           // processor
            }
            for (int i = 0; i < 8; ++i) {
                if (!pending()) {
                    return true;
                }
                futex::relax();
            }
        } while (!by.closing() && futex::now() < limit);
        return false;
    };
    if (spin_until(std::min(end, start + uncounted_spin), false)) {
        return true;
    }
    const spin_permit permit;
    return permit.granted() && spin_until(end, true);
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

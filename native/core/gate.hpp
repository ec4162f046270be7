/// Entering and closing an interpreter (hazard H7): a foreign thread state in an interpreter that ends is
/// fatal.
///
/// Whoever wants in counts itself first and then looks whether the gate is shut; the closer shuts it and
/// waits until nobody is counted. Both sides use one word, so one of the two always sees the other. No GIL
/// may be held by the closer while it waits, since those inside need it to get out.
#pragma once

#include "core/futex.hpp"
#include "core/lock.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace isthmus::core {

class gate;

/// What one thread has entered, for forks: a helper is inside its interpreter's gates and, for a moment,
/// another one's.
class gate_entries {
  public:
    void push(const gate* entered) noexcept {
        assert(depth_ < entered_.size());
        if (depth_ < entered_.size()) {
            entered_[depth_++] = entered;
        }
    }
    void pop(const gate* left) noexcept {
        if (depth_ > 0 && entered_[depth_ - 1] == left) {
            --depth_;
        }
    }
    [[nodiscard]] std::uint32_t count(const gate* of) const noexcept {
        return static_cast<std::uint32_t>(
            std::count(entered_.begin(), entered_.begin() + static_cast<std::ptrdiff_t>(depth_), of));
    }

  private:
    std::array<const gate*, 8> entered_{};
    std::size_t depth_ = 0;
};

class gate {
  public:
    /// True: the interpreter will not end before `leave()`.
    [[nodiscard]] bool enter() noexcept {
        if ((word_.fetch_add(1, std::memory_order_seq_cst) & shut_bit) == 0) {
            here_.push(this);
            return true;
        }
        step_out();
        return false;
    }
    /// By the thread that entered.
    void leave() noexcept {
        here_.pop(this);
        step_out();
    }
    void shut() noexcept { word_.fetch_or(shut_bit, std::memory_order_seq_cst); }
    /// Returns once nobody is inside: true, or false when `until` passed first. Precondition: shut(), and no
    /// GIL held.
    bool wait_until_empty(futex::deadline until = std::nullopt) noexcept {
        assert(held_locks::here() == 0); // invariant 8
        for (std::uint32_t now = word_.load(std::memory_order_acquire); now != shut_bit;
             now = word_.load(std::memory_order_acquire)) {
            if (futex::wait(word_, now, until) == futex::wait_result::timed_out) {
                return word_.load(std::memory_order_acquire) == shut_bit;
            }
        }
        return true;
    }
    [[nodiscard]] bool anybody_inside() const noexcept {
        return (word_.load(std::memory_order_acquire) & ~shut_bit) != 0;
    }
    /// In a forked child: nobody but the forking thread can be inside, and nobody else would ever leave.
    /// Returns how many there were.
    std::uint32_t forget_other_threads() noexcept {
        const std::uint32_t before = word_.load(std::memory_order_relaxed);
        const std::uint32_t shut = before & shut_bit;
        word_.store(shut | here_.count(this), std::memory_order_release);
        return (before & ~shut_bit) - here_.count(this);
    }
    [[nodiscard]] bool is_shut() const noexcept {
        return (word_.load(std::memory_order_acquire) & shut_bit) != 0;
    }

  private:
    void step_out() noexcept {
        if (word_.fetch_sub(1, std::memory_order_acq_rel) == (shut_bit | 1U)) {
            futex::wake(&word_, every);
        }
    }
    static constexpr std::uint32_t shut_bit = std::uint32_t{1} << 31;
    static constexpr int every = 0x7fffffff;
    static constinit thread_local gate_entries here_;
    futex::word word_{0};
};

} // namespace isthmus::core

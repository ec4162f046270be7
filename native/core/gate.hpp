/// Entering and closing an interpreter (hazard H7): a foreign thread state in an interpreter that ends is
/// fatal.
///
/// Whoever wants in counts itself first and then looks whether the gate is shut; the closer shuts it and
/// waits until nobody is counted. Both sides use one word, so one of the two always sees the other. No GIL
/// may be held by the closer while it waits, since those inside need it to get out.
#pragma once

#include "core/futex.hpp"
#include "core/lock.hpp"

#include <atomic>
#include <cassert>
#include <cstdint>

namespace isthmus::core {

class gate {
  public:
    /// True: the interpreter will not end before `leave()`.
    [[nodiscard]] bool enter() noexcept {
        if ((word_.fetch_add(1, std::memory_order_acq_rel) & shut_bit) == 0) {
            inside_ = this;
            return true;
        }
        step_out();
        return false;
    }
    /// By the thread that entered.
    void leave() noexcept {
        inside_ = nullptr;
        step_out();
    }
    void shut() noexcept { word_.fetch_or(shut_bit, std::memory_order_acq_rel); }
    /// Returns once nobody is inside. Precondition: shut(), and no GIL held.
    void wait_until_empty() noexcept {
        assert(held_locks::here() == 0); // invariant 8
        for (std::uint32_t now = word_.load(std::memory_order_acquire); now != shut_bit;
             now = word_.load(std::memory_order_acquire)) {
            futex::wait(word_, now);
        }
    }
    /// In a forked child: nobody but the forking thread can be inside, and nobody else would ever leave.
    void forget_other_threads() noexcept {
        const std::uint32_t shut = word_.load(std::memory_order_relaxed) & shut_bit;
        word_.store(shut | (inside_ == this ? 1U : 0U), std::memory_order_release);
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
    /// What this thread has entered. It never is inside two: it enters for one interpreter and leaves.
    static inline thread_local const gate* inside_ = nullptr;
    futex::word word_{0};
};

} // namespace isthmus::core

/// Spinning before a sleep: how long at which place, and how many threads at once. For waiters, and for
/// helpers between two calls.
#pragma once

#include "core/futex.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace isthmus::core {

/// How long waits at one place spin before they sleep: longer while spinning pays, shorter while it doesn't.
/// Every few waits the longest is tried again: two sides that put each other to sleep would else never find
/// out that awake they answer at once. Any thread; racing updates only blur the estimate.
class spin_budget {
  public:
    constexpr spin_budget() noexcept = default;
    /// Of a wait before which somebody has spun.
    [[nodiscard]] static spin_budget nothing() noexcept { return spin_budget(0); }
    [[nodiscard]] futex::nanoseconds get() const noexcept {
        return nanoseconds_.load(std::memory_order_relaxed);
    }
    void paid() noexcept {
        if (get() != longest) { // a write would take the cache line from everybody else
            nanoseconds_.store(longest, std::memory_order_relaxed);
        }
    }
    void wasted() noexcept;

  private:
    explicit spin_budget(std::uint32_t nanoseconds) noexcept : nanoseconds_(nanoseconds) {}

    static constexpr std::uint32_t longest = 40'000; ///< about what falling asleep and being woken costs
    static constexpr std::uint32_t shortest = 5'000;
    static constexpr std::uint32_t waits_between_tries = 8;
    std::atomic<std::uint32_t> nanoseconds_{longest};
    std::atomic<std::uint32_t> wasted_{0};
};

namespace spinning {

/// A spinner that outlasts this is counted, so that spinners never occupy every processor.
inline constexpr futex::nanoseconds uncounted = 2'500;

[[nodiscard]] unsigned processors() noexcept;

/// Takes one of the processors that may be spent on spinning, if one is left.
class permit {
  public:
    permit() noexcept;
    ~permit();
    permit(const permit&) = delete;
    permit& operator=(const permit&) = delete;
    [[nodiscard]] bool granted() const noexcept { return granted_; }

  private:
    bool granted_;
};

/// In a forked child: none of them spins.
void forget_other_threads() noexcept;

/// Lets whoever is queued behind us on this very processor run: it may be the one we wait for.
void give_way() noexcept;

/// Looks at `done()` until it is true, `end` has passed, or `in_vain()`.
template <typename Done, typename InVain>
bool look_until(futex::nanoseconds end, bool polite, const Done& done, const InVain& in_vain) noexcept {
    do {
        if (polite) {
            give_way();
        }
        for (int i = 0; i < 8; ++i) {
            if (done()) {
                return true;
            }
            futex::relax();
        }
    } while (!in_vain() && futex::now() < end);
    return false;
}

/// Spins until `done()`: true; false: not within `budget`, or `until`, or before `in_vain()`. No GIL, no
/// lock.
template <typename Done, typename InVain>
[[nodiscard]] bool spin(futex::deadline until, futex::nanoseconds budget, const Done& done,
                        const InVain& in_vain) noexcept {
    for (int i = 0; i < 16; ++i) { // the common quick answer, without a look at the clock
        if (done()) {
            return true;
        }
        futex::relax();
    }
    if (processors() == 1) {
        return false;
    }
    const futex::nanoseconds start = futex::now();
    const futex::nanoseconds end = until ? std::min(*until, start + budget) : start + budget;
    if (look_until(std::min(end, start + uncounted), false, done, in_vain)) {
        return true;
    }
    const permit counted;
    return counted.granted() && look_until(end, true, done, in_vain);
}

} // namespace spinning
} // namespace isthmus::core

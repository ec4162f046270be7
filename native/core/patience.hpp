/// A span of time that passes only while this process runs.
#pragma once

#include "core/futex.hpp"

#include <algorithm>
#include <atomic>

namespace isthmus::core {

/// How long something is waited for that may never come, where giving up does harm. What passes while the
/// process is stopped, or its machine stands still, does not count: nobody could have come meanwhile. Any
/// thread, with any lock; async-signal-safe.
class patience {
  public:
    /// Whoever waits looks at least this often; a longer time between two looks counts as one of this length.
    static constexpr futex::nanoseconds look_every = 100'000'000;

    explicit patience(futex::nanoseconds span) noexcept : left_(span) {}

    /// Anew, from now on. Not while somebody waits.
    void renew(futex::nanoseconds span) noexcept {
        left_.store(span);
        last_.store(futex::now());
    }

    [[nodiscard]] bool is_over() noexcept {
        const futex::nanoseconds now = futex::now();
        const futex::nanoseconds passed =
            std::clamp<futex::nanoseconds>(now - last_.exchange(now), 0, look_every);
        return left_.fetch_sub(passed) <= passed;
    }

    /// Calls `wait`, which waits until the time that it is given and returns whether what it waits for has
    /// come, until it has, or this is over: false.
    template <class Wait> [[nodiscard]] bool outlasts(const Wait& wait) {
        while (!wait(futex::now() + look_every)) {
            if (is_over()) {
                return false;
            }
        }
        return true;
    }

  private:
    std::atomic<futex::nanoseconds> left_;
    std::atomic<futex::nanoseconds> last_ = futex::now();
};

} // namespace isthmus::core

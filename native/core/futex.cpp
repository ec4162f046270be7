#include "core/futex.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace isthmus::core::futex {
namespace {

constexpr nanoseconds per_second = 1'000'000'000;

/// Signal handlers and C API callers read errno after us.
class keep_errno {
  public:
    keep_errno() noexcept : saved_(errno) {}
    ~keep_errno() { errno = saved_; }
    keep_errno(const keep_errno&) = delete;
    keep_errno& operator=(const keep_errno&) = delete;

  private:
    int saved_;
};

timespec to_timespec(nanoseconds at) noexcept {
    const nanoseconds clamped = std::max<nanoseconds>(at, 0); // the kernel refuses negative times
    return {static_cast<time_t>(clamped / per_second), static_cast<long>(clamped % per_second)};
}

} // namespace

nanoseconds now() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<nanoseconds>(t.tv_sec) * per_second + t.tv_nsec;
}

wait_result wait(const word& w, std::uint32_t expected, deadline until) noexcept {
    const keep_errno saved;
    timespec limit{};
    if (until) {
        limit = to_timespec(*until);
    }
    // FUTEX_WAIT_BITSET rather than FUTEX_WAIT: its time limit is absolute, so a retry needs no arithmetic.
    const long rc = ::syscall(SYS_futex, &w, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                              until ? &limit : nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (rc == 0 || (errno != ETIMEDOUT && errno != EINTR)) {
        return wait_result::woken;
    }
    return errno == ETIMEDOUT ? wait_result::timed_out : wait_result::interrupted;
}

void wake(const word* address, int count) noexcept {
    const keep_errno saved;
    ::syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
}

} // namespace isthmus::core::futex

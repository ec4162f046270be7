/// Sleeping and waking on a 32-bit word: the only place in core that parks a thread in the kernel.
///
/// Thread rules: every function may be called on any thread. `wait` blocks: never call it with a GIL or a
/// `lock` held. `wake` is async-signal-safe; both leave `errno` as it was. Words are private to this process.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace isthmus::core::futex {

/// A futex word is its own object representation: the kernel compares the plain 32 bits.
using word = std::atomic<std::uint32_t>;
static_assert(sizeof(word) == 4 && word::is_always_lock_free);

/// Nanoseconds of CLOCK_MONOTONIC.
using nanoseconds = std::int64_t;
/// A point on CLOCK_MONOTONIC in nanoseconds; nullopt waits without limit.
using deadline = std::optional<nanoseconds>;

enum class wait_result : std::uint8_t {
    woken,      ///< somebody woke us, or the word no longer held `expected`, or spuriously: look again
    timed_out,  ///< the deadline passed
    interrupted ///< a signal handler ran on this thread (EINTR)
};

/// CLOCK_MONOTONIC now, in nanoseconds. Async-signal-safe.
[[nodiscard]] nanoseconds now() noexcept;

/// Sleeps while `w` holds `expected`. May return `woken` without cause: callers loop on their own condition.
wait_result wait(const word& w, std::uint32_t expected, deadline until = std::nullopt) noexcept;

/// Wakes at most `count` sleepers on the word at `address`. The address is never read, so the word may be
/// gone by now; whoever sleeps at an address that was used again sees one spurious wake-up.
void wake(const word* address, int count = 1) noexcept;

/// Tells the processor that this thread is spinning.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

} // namespace isthmus::core::futex

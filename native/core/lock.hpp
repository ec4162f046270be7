/// A 4-byte lock for short critical sections: spins briefly, then sleeps.
///
/// Thread rules: any thread. Never take or drop a GIL, call out, or destroy a message while holding one
/// (invariant 8 of the design): a holder must always be about to leave. Not recursive, not for signal
/// handlers.
#pragma once

#include "core/futex.hpp"

#include <mutex>

namespace isthmus::core {

/// How many of these locks the calling thread holds: counted in debug builds only, 0 in all others. Whatever
/// may block, take or drop a GIL, or run somebody's destructor asserts that it is 0 (invariant 8).
class held_locks {
  public:
#ifdef NDEBUG
    static void one_more() noexcept {}
    static void one_less() noexcept {}
    [[nodiscard]] static unsigned here() noexcept {
        return 0;
    }
#else
    static void one_more() noexcept {
        ++count_;
    }
    static void one_less() noexcept {
        --count_;
    }
    [[nodiscard]] static unsigned here() noexcept {
        return count_;
    }

  private:
    static constinit thread_local unsigned count_;
#endif
};

/// A std::mutex that is counted: for longer sections, which end in the kernel, but never in Python.
class counted_mutex {
  public:
    void lock() {
        mutex_.lock();
        held_locks::one_more();
    }
    void unlock() {
        held_locks::one_less();
        mutex_.unlock();
    }

  private:
    std::mutex mutex_;
};

/// BasicLockable and Lockable: use it through std::lock_guard, std::unique_lock or std::scoped_lock.
class short_lock {
  public:
    short_lock() noexcept = default;
    short_lock(const short_lock&) = delete;
    short_lock& operator=(const short_lock&) = delete;

    void lock() noexcept {
        if (!try_lock()) [[unlikely]] {
            lock_slowly();
        }
    }

    [[nodiscard]] bool try_lock() noexcept {
        std::uint32_t expected = free_;
        // Acquire: what the previous holder wrote is visible. Failure needs no order: nothing is read on it.
        const bool taken = word_.compare_exchange_strong(expected, held_, std::memory_order_acquire,
                                                         std::memory_order_relaxed);
        if (taken) {
            held_locks::one_more();
        }
        return taken;
    }

    void unlock() noexcept {
        held_locks::one_less();
        // Release: pairs with the next holder's acquire. The exchange also tells whether anybody may be
        // asleep.
        if (word_.exchange(free_, std::memory_order_release) == contended_) [[unlikely]] {
            futex::wake(&word_);
        }
    }

  private:
    void lock_slowly() noexcept;

    static constexpr std::uint32_t free_ = 0;
    static constexpr std::uint32_t held_ = 1;
    static constexpr std::uint32_t contended_ = 2; ///< held, and somebody may sleep on the word

    futex::word word_{free_};
};
static_assert(sizeof(short_lock) == 4);

} // namespace isthmus::core

/// Mutable memory for all threads and interpreters: Python's `SharedBuffer` (api section 3).
///
/// Threads: as std::shared_ptr. Plain reads and writes are ordered by nobody; std::atomic_ref over `items`,
/// or `SharedBuffer.atomic` in Python, orders them. A forked child has a private copy. Lifetimes: spans are
/// valid while an object of it lives, here or in an interpreter.
#pragma once

#include <isthmus/channel.hpp>
#include <isthmus/value.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>

namespace isthmus {

namespace detail {
class memory_block;

template <typename T>
concept waitable = std::integral<T> &&(sizeof(T) == 4 || sizeof(T) == 8);
} // namespace detail

/// An object that was moved from may only be assigned to or destroyed.
class [[gnu::visibility("default")]] shared_buffer {
  public:
    /// Zero bytes, page aligned. Throws std::bad_alloc.
    explicit shared_buffer(std::size_t size);

    [[nodiscard]] std::byte* data() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] std::span<std::byte> span() const noexcept {
        return {data(), size()};
    }
    /// As many whole items as there are.
    template <typename T>
    requires std::is_trivially_copyable_v<T>
    [[nodiscard]] std::span<T> items() const noexcept {
        return {reinterpret_cast<T*>(data()), size() / sizeof(T)};
    }

    /// Sleeps while item `index` of 32 or 64 bits is `expected`, until it is notified: AtomicView.wait. True:
    /// notified, or it was something else from the start; false: the time is over. After a wake-up it may be
    /// `expected` again: wait in a loop. A GIL that the thread holds is let go of. Throws std::out_of_range,
    /// std::bad_alloc.
    template <detail::waitable T>
    bool wait(std::size_t index, T expected, patience timeout = std::nullopt) const {
        return wait_at(index, sizeof(T), static_cast<std::uint64_t>(expected), timeout);
    }
    /// Wakes at most `count` of those that wait for that item, in whichever interpreter, those first that
    /// came first; returns how many. Throws std::out_of_range.
    template <detail::waitable T>
    std::size_t notify(std::size_t index, std::size_t count = std::numeric_limits<std::size_t>::max()) const {
        return notify_at(index, sizeof(T), count);
    }

    /// Whether they are the same memory.
    [[nodiscard]] bool operator==(const shared_buffer& other) const noexcept;

  private:
    friend struct conversion<shared_buffer>;
    explicit shared_buffer(std::shared_ptr<const detail::memory_block> held) noexcept
        : held_(std::move(held)) {}
    [[nodiscard]] bool wait_at(std::size_t index, std::size_t item_size, std::uint64_t expected,
                               patience timeout) const;
    [[nodiscard]] std::size_t notify_at(std::size_t index, std::size_t item_size, std::size_t count) const;

    std::shared_ptr<const detail::memory_block> held_;
};

template <> struct [[gnu::visibility("default")]] conversion<shared_buffer> {
    static value to(const shared_buffer& v);
    static shared_buffer from(const value& v);
};

} // namespace isthmus

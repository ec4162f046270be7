/// An element of shared memory that any thread may change at any time: sequentially consistent operations on
/// its bits, which wrap around. Whether they are signed is the caller's business.
///
/// Thread rules: any thread, with or without a GIL, while the memory is kept alive; `wait` sleeps: no GIL, no
/// lock held.
#pragma once

#include "core/parking_lot.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace isthmus::core {

class atomic_cell {
  public:
    /// `size` is 4 or 8 bytes; `at` is aligned to it.
    atomic_cell(std::byte* at, std::size_t size) noexcept : at_(at), wide_(size == sizeof(std::uint64_t)) {}

    [[nodiscard]] std::uint64_t load() const noexcept {
        return on_it([](auto cell, auto) { return cell.load(); }, 0);
    }
    void store(std::uint64_t bits) const noexcept { static_cast<void>(exchange(bits)); }

    // Each returns what was there before.
    std::uint64_t exchange(std::uint64_t bits) const noexcept {
        return on_it([](auto cell, auto value) { return cell.exchange(value); }, bits);
    }
    std::uint64_t add(std::uint64_t bits) const noexcept {
        return on_it([](auto cell, auto value) { return cell.fetch_add(value); }, bits);
    }
    std::uint64_t subtract(std::uint64_t bits) const noexcept {
        return on_it([](auto cell, auto value) { return cell.fetch_sub(value); }, bits);
    }
    std::uint64_t bit_and(std::uint64_t bits) const noexcept {
        return on_it([](auto cell, auto value) { return cell.fetch_and(value); }, bits);
    }
    std::uint64_t bit_or(std::uint64_t bits) const noexcept {
        return on_it([](auto cell, auto value) { return cell.fetch_or(value); }, bits);
    }
    std::uint64_t bit_xor(std::uint64_t bits) const noexcept {
        return on_it([](auto cell, auto value) { return cell.fetch_xor(value); }, bits);
    }
    /// Stores `desired` if `expected` was there: if that is what it returns, it did.
    std::uint64_t compare_exchange(std::uint64_t expected, std::uint64_t desired) const noexcept {
        return on_it(
            [expected](auto cell, auto value) {
                auto seen = static_cast<decltype(value)>(expected);
                cell.compare_exchange_strong(seen, value);
                return seen;
            },
            desired);
    }

    /// Sleeps if `expected` is there, until `notify`: ok. would_block: something else is there. Else
    /// timed_out, interrupted, party_closing.
    [[nodiscard]] outcome wait(std::uint64_t expected, party& by, futex::deadline until,
                               wait_site& site) const noexcept {
        return parking_lot::park_while(
            at_, [&] { return load() == expected; }, by, until, site);
    }
    /// Wakes at most `count` of those that wait for this element; returns how many.
    std::size_t notify(std::size_t count) const noexcept { return parking_lot::unpark(at_, count); }

  private:
    template <typename Operation>
    std::uint64_t on_it(const Operation& operation, std::uint64_t bits) const noexcept {
        return wide_ ? operation(as<std::uint64_t>(), bits)
                     : operation(as<std::uint32_t>(), static_cast<std::uint32_t>(bits));
    }
    template <typename Word> [[nodiscard]] std::atomic_ref<Word> as() const noexcept {
        static_assert(std::atomic_ref<Word>::is_always_lock_free);
        return std::atomic_ref<Word>(*reinterpret_cast<Word*>(at_));
    }

    std::byte* at_;
    bool wide_;
};

} // namespace isthmus::core

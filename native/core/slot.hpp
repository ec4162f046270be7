/// A slot: room for one payload, shared between interpreters, and who may still look at it.
///
/// The sharing protocol (design section 5) lives in one 64-bit word, so that every step is one
/// compare-and-swap:
///
///     shares : 32 | queued | keeper | orphan
///
/// - `shares`  claims: messages in flight and live foreign twins. 0 -> 1 only by the owner under its GIL;
/// others add only
///             while they hold one.
/// - `queued`  a release is on its way to the owner's inbox or in it. Set together with shares -> 0, by the
/// one thread that
///             then posts it; cleared by the drain before it reads shares. So a release is queued at most
///             once (invariant 6).
/// - `keeper`  the owner holds one strong reference on its object (invariant 2). Dropped only by a drain that
/// finds
///             shares = 0, hence never between a claim and its post: a claimed slot cannot be reused under
///             the poster.
/// - `orphan`  the owner is gone. Whoever then takes the word to (shares 0, not queued, orphan) frees the
/// block, once
///             (invariant 7).
///
/// Members are guarded as noted: [G] the owning window's GIL, [M] the memory lock, [A] atomic.
#pragma once

#include "core/inbox.hpp"
#include "core/options.hpp"
#include "core/share.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace isthmus::core {

inline constexpr std::uint16_t no_window = 0xffff;
/// slot::owner of what C++ code without an interpreter made. Interpreters' identities count up from 1.
inline constexpr std::uint64_t host_owner = UINT64_MAX;

/// What a twin is made of besides its payload pages. Written by the owner before the first share of a period
/// leaves, then constant while shares > 0. A twin is built from this and never from another twin, whose
/// header page is writable (H2).
struct slot_record {
    std::uint8_t form = 0;   ///< opaque to core: which object layout (cpython layer)
    std::int64_t length = 0; ///< items, as the object counts them
    std::int64_t hash = -1;  ///< -1: not known
    std::array<std::byte, header_room>
        head{}; ///< the owner's header area; a twin takes the inline bytes from it
};

struct alignas(64) slot : inbox_node {
    enum class use : std::uint8_t { none, spare, live, idle };

    std::atomic<std::uint64_t> word{0}; ///< [A] the protocol word above
    std::atomic<std::uint32_t> generation{
        0}; ///< [A] changes when the slot is freed; identity is index + generation
    /// [M] spare: free address space; [G] live: an object; idle: kept warm for reuse. Atomic, since a buddy
    /// that is being freed asks under M whether this block is spare.
    std::atomic<use> state{use::none};
    std::uint8_t order = 0; ///< [M] block size is unit_size << order
    std::atomic<std::uint16_t> owner_window{
        0}; ///< [A] whose block this is; `no_window` once the owner is gone
    std::atomic<std::uint64_t> owner{
        0};                            ///< [A] identity of the interpreter that allocated it, or `host_owner`
    std::size_t touched = 0;           ///< [G] bytes from the block's start that may be resident
    std::atomic<std::size_t> bytes{0}; ///< [A] size of the allocation that lives here
    std::uint64_t stamp = 0;           ///< [G] when it became idle, in frees of its window

    std::array<std::atomic<std::uint64_t>, max_windows / 64>
        mapped{}; ///< [A, set under M] windows that see it
    std::array<std::atomic<std::uint64_t>, max_windows / 64>
        twins{}; ///< [A] windows in which a twin lives, each bit under that window's GIL

    slot* list_next = nullptr; ///< spare list [M] or idle list of the owner's window [G]
    slot* list_prev = nullptr;
    slot* all_next = nullptr; ///< [M] every block that is live or idle
    slot* all_prev = nullptr;

    slot_record record; ///< see there

    [[nodiscard]] std::size_t block_size() const noexcept { return unit_size << order; }
    [[nodiscard]] std::size_t room() const noexcept { return block_size() - object_offset; }
    [[nodiscard]] std::uint32_t shares() const noexcept {
        return static_cast<std::uint32_t>(word.load(std::memory_order_acquire));
    }
    [[nodiscard]] bool is_mapped(unsigned window) const noexcept { return test(mapped, window); }
    [[nodiscard]] bool has_twin(unsigned window) const noexcept { return test(twins, window); }

    using window_set = std::array<std::atomic<std::uint64_t>, max_windows / 64>;
    static bool test(const window_set& set, unsigned window) noexcept {
        return ((set[window / 64].load(std::memory_order_acquire) >> (window % 64)) & 1U) != 0;
    }
    static void set(window_set& set, unsigned window) noexcept {
        set[window / 64].fetch_or(std::uint64_t{1} << (window % 64), std::memory_order_acq_rel);
    }
    /// Returns whether the bit was set.
    static bool clear(window_set& set, unsigned window) noexcept {
        const std::uint64_t bit = std::uint64_t{1} << (window % 64);
        return (set[window / 64].fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0;
    }
};

namespace protocol {

inline constexpr std::uint64_t shares_mask = 0xffff'ffff;
inline constexpr std::uint64_t queued = std::uint64_t{1} << 32;
inline constexpr std::uint64_t keeper = std::uint64_t{1} << 33;
inline constexpr std::uint64_t orphan = std::uint64_t{1} << 34;

/// Owner, under its GIL. True: a new keeper began, the caller takes the strong reference now.
[[nodiscard]] bool share_by_owner(slot& s) noexcept;
/// Drain, under the window's GIL, for a node taken from the inbox.
/// `free_block`: a release of the window's former owner, posted after the window changed hands.
enum class after_settle { nothing, drop_keeper, free_block };
[[nodiscard]] after_settle settle(slot& s) noexcept;
/// The inbox refused or was closed with this release in it. True: the caller frees the block.
[[nodiscard]] bool settle_without_owner(slot& s) noexcept;
/// The owner is gone. True: nobody shares it, the caller frees the block.
[[nodiscard]] bool make_orphan(slot& s) noexcept;
/// One share less.
enum class after_drop { still_shared, post_release, free_block };
[[nodiscard]] after_drop drop(slot& s) noexcept;

} // namespace protocol

} // namespace isthmus::core

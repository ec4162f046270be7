/// The runtime's memory: arena, slot table, windows. Process-wide, made once, never destroyed (interpreters
/// free late).
///
/// Lock: one memory lock [M] guards the free address space, the list of blocks and the mappings. It is a
/// leaf: nothing is called under it but the kernel, so it may be taken with or without a GIL. Idle lists
/// belong to a window and are guarded by its GIL [G].
///
/// The free path (`release`) needs no thread state, no Python, takes no lock that a GIL holder can sleep
/// under, and throws nothing (invariant 4): a warm block goes to its window's idle list, a foreign twin drops
/// one share.
#pragma once

#include "core/arena.hpp"
#include "core/lock.hpp"
#include "core/slot.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

namespace isthmus::core {

inline constexpr unsigned order_count = 25; // 64 KiB << 24 = 1 TiB

/// One GIL's view of the arena and the inbox of its owner.
struct window {
    unsigned index = 0;
    bool taken = false;                      ///< [M]
    inbox box;                               ///< any thread posts, the owner drains
    std::array<slot*, order_count> warm{};   ///< [G] newest idle block of each order
    std::array<slot*, order_count> oldest{}; ///< [G] other end of the same lists
    std::uint64_t frees = 0;                 ///< [G] clock for slot::stamp
    std::atomic<std::size_t> slots{0};       ///< live ones; written under [G], read by anybody
    std::atomic<std::size_t> slot_bytes{0};  ///< likewise: what was allocated in them
    /// Called after the first post into an empty inbox; any thread, under no lock of the core; must not
    /// block. Null: nobody to wake.
    std::atomic<void (*)(window&)> wake{nullptr};
    void* waker = nullptr; ///< for `wake`; constant while it is set
};

class memory_system {
  public:
    /// Reserves the arena. Idempotent. `false`: everything is copied, `space().why()` says why.
    bool start(const options& chosen) noexcept;
    [[nodiscard]] bool started() const noexcept { return table_ != nullptr; }
    [[nodiscard]] const arena& space() const noexcept { return arena_; }
    [[nodiscard]] const options& chosen() const noexcept { return options_; }

    /// A window for a new owner, or null: all taken, or no arena.
    [[nodiscard]] window* take_window() noexcept;
    /// The owner is gone for good (its interpreter no longer exists; no GIL is involved any more). Its shared
    /// blocks become orphans, all else is freed, its twins' shares are dropped, the window is free again
    /// (invariant 7).
    void owner_gone(window& w) noexcept;

    /// A block of `size` bytes for an object, in a slot of `w`; null if there is no room (the caller uses the
    /// old allocator). `expected`: how far it will grow in place. `fresh`: is told which of its pages never
    /// were touched, for populate(); null: they are populated here. [G of w]
    [[nodiscard]] void* allocate(window& w, std::uint64_t owner, std::size_t size, std::size_t expected,
                                 bool zero, std::span<std::byte>* fresh = nullptr) noexcept;
    /// Faults in what allocate() has left out: the system takes its time for much memory, and the GIL is not
    /// needed meanwhile. The caller owns the block.
    void populate(std::span<std::byte> fresh) const noexcept;
    /// Makes the slot's allocation `size` bytes in place. Precondition: size <= room(), owner's side, not
    /// shared. [G]
    void resize(slot& s, std::size_t size) noexcept;
    /// Frees what lies at `address` in its window: an owner's block or a foreign twin. [G of that window]
    void release(void* address) noexcept;

    /// The slot whose object base is `address` in some window; null if it is not one.
    [[nodiscard]] slot* find(const void* address) const noexcept {
        if (!arena_.contains(address)) {
            return nullptr;
        }
        const std::size_t offset = arena_.offset_of(address);
        slot& s = table_[offset >> unit_shift];
        return (offset & (unit_size - 1)) == object_offset &&
                       s.state.load(std::memory_order_relaxed) == slot::use::live
                   ? &s
                   : nullptr;
    }
    /// The slot of the block that `address`, in some window, lies in, if something lives there; null for all
    /// other addresses. The caller knows that the block is not freed meanwhile.
    [[nodiscard]] slot* containing(const void* address) const noexcept;
    /// Where the byte at `address`, which lies in some window, is seen by whoever holds a share of its slot,
    /// also once the window's owner is gone.
    [[nodiscard]] std::byte* lasting(const void* address, bool read_only) const noexcept {
        const std::size_t offset = arena_.offset_of(address);
        return read_only ? arena_.read_only_at(offset) : arena_.master_at(offset);
    }
    /// One address for each byte, through whichever mapping `address` sees it.
    [[nodiscard]] const void* canonical(const void* address) const noexcept {
        if (arena_.contains(address)) {
            return arena_.master_at(arena_.offset_of(address));
        }
        const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(address) -
                                    reinterpret_cast<std::uintptr_t>(arena_.read_only_at(0));
        return past < arena_.capacity() ? arena_.master_at(past) : address;
    }
    [[nodiscard]] std::size_t index_of(const slot& s) const noexcept {
        return static_cast<std::size_t>(&s - table_);
    }
    [[nodiscard]] std::byte* object_in(unsigned w, const slot& s) const noexcept {
        return arena_.at(w, (index_of(s) << unit_shift) + object_offset);
    }
    /// The payload from the page boundary on, readable whoever owns it. Valid while the caller holds a share.
    [[nodiscard]] const std::byte* payload(const slot& s) const noexcept;
    /// Makes the slot visible in window `w` for a twin. False: mapping limit; the caller copies. [G of w,
    /// holds a share]
    [[nodiscard]] bool show(slot& s, window& w) noexcept;

    /// Posts the claimed release of `s` to its owner. Lock-free; settles it here if the owner is gone.
    void post_release(slot& s) noexcept;
    void give_back_orphan(slot& s) noexcept;
    /// Runs the releases in the inbox: for each keeper that ended, `drop_reference(object)`. Returns how many
    /// were run. [G of w]
    std::size_t drain(window& w, void (*drop_reference)(void* object)) noexcept;

    [[nodiscard]] std::size_t mappings() const noexcept { return mappings_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t idle_bytes() const noexcept {
        return idle_bytes_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] window& window_at(unsigned index) noexcept { return windows_[index]; }

    // fork (memory_life.cpp); registered by start()
    void before_fork() noexcept;
    void after_fork_in_parent() noexcept;
    void after_fork_in_child() noexcept;

  private:
    slot* warm_block(window& w, unsigned order) noexcept;
    slot* fresh_block(window& w, unsigned order) noexcept;
    slot* carve(unsigned order) noexcept;          // [M]
    void merge(slot& s) noexcept;                  // [M]
    void push_spare(slot& s) noexcept;             // [M]
    void remove_spare(slot& s) noexcept;           // [M]
    void unlink_idle(window& w, slot& s) noexcept; // [G]
    void make_idle(window& w, slot& s) noexcept;   // [G]
    bool purge_oldest(window& w) noexcept;         // [G]
    void keep_within_budget(window& w) noexcept;   // [G]
    void dissolve(slot& s) noexcept;               // [M]
    bool count_mappings(std::size_t more) noexcept;
    static void count_slot(window& w, const slot& s, bool more) noexcept; // [G]
    /// Returns the pages that are still to be populated.
    std::span<std::byte> touch(window& w, slot& s, std::size_t size, bool zero) const noexcept;
    bool post(slot& s) noexcept;
    void free_orphan(slot& s) noexcept;            // [M]
    bool leave_block(window& w, slot& s) noexcept; // [M]
    inbox_node* leave_blocks(window& w) noexcept;  // [M]
    void disown(window& w, slot& s) noexcept;      // [M]
    bool separate_in_child() noexcept;             // [M]
    bool remap_in_child(slot& s) noexcept;         // [M]
    void take_snapshot() noexcept;                 // [M]
    void drop_snapshot() noexcept;                 // [M]
    void copy_live(std::byte* to) const noexcept;  // [M]
    std::size_t offset_of(const slot& s) const noexcept { return index_of(s) << unit_shift; }

    arena arena_;
    options options_;
    slot* table_ = nullptr;
    std::array<window, max_windows> windows_{};
    std::array<slot*, order_count> spare_{}; ///< [M]
    slot* all_ = nullptr;                    ///< [M]
    unsigned top_order_ = 0;
    std::atomic<std::size_t> mappings_{0};
    std::atomic<std::size_t> idle_bytes_{0};
    counted_mutex lock_;
    int fork_pipe_[2] = {-1, -1};
    std::byte* snapshot_ = nullptr; ///< of what is live, where a fork finds no descriptors for its pipe
    std::size_t snapshot_size_ = 0;
};

/// The one instance. Never destroyed.
[[nodiscard]] memory_system& memory() noexcept;

} // namespace isthmus::core

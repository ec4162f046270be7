/// The arena: the process's shared memory, one sealed memfd, and the windows through which interpreters see
/// it.
///
/// Address layout, reserved once and, when the memory system has started, never given back:
///
///     | writable master | read-only master | window 0 | window 1 | ...        each `capacity` bytes
///
/// The masters map the whole memfd. A part of it appears in a window by duplicating that part of a master
/// (`mremap` with an old size of 0), so after set-up no file descriptor exists: `os.closerange` cannot hit
/// the arena, and no number can be reused for a file of the user's.
///
/// A block of the arena looks like this in a window:
///
///     owner's window      | header page + payload, read/write, memfd pages            |   one mapping
///     any other window    | header page, private anonymous, read/write |  payload, read only, memfd pages  |
///
/// Thread rules: everything here is a system call on addresses that the caller owns; any thread, no GIL. No
/// function throws; `false` means the kernel refused and nothing changed that matters: the caller falls back
/// to a copy.
#pragma once

#include "core/options.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace isthmus::core {

class arena {
  public:
    arena() noexcept = default;
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;

    /// Reserves addresses and memory; halves `capacity` until the limits (RLIMIT_AS, RLIMIT_FSIZE) allow it.
    /// `false`: no arena, `why()` says the reason; everything is then copied.
    bool reserve(const options& wanted) noexcept;

    /// Undoes reserve(), for a start-up that can't go on; `why` is what why() says from then on.
    void give_back(const char* why) noexcept;

    [[nodiscard]] const char* why() const noexcept { return why_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] unsigned windows() const noexcept { return windows_; }

    /// True for addresses in windows; false for everything while there is no arena.
    [[nodiscard]] bool contains(const void* address) const noexcept {
        return reinterpret_cast<std::uintptr_t>(address) - base_ < size_;
    }
    [[nodiscard]] unsigned window_of(const void* address) const noexcept {
        return static_cast<unsigned>((reinterpret_cast<std::uintptr_t>(address) - base_) >> capacity_shift_);
    }
    [[nodiscard]] std::size_t offset_of(const void* address) const noexcept {
        return (reinterpret_cast<std::uintptr_t>(address) - base_) & (capacity_ - 1);
    }
    [[nodiscard]] std::byte* at(unsigned window, std::size_t offset) const noexcept {
        return reinterpret_cast<std::byte*>(base_ + (std::uintptr_t{window} << capacity_shift_) + offset);
    }

    /// The shared bytes at `offset`, writable, in no window. Readers hold a share of what lies there.
    [[nodiscard]] std::byte* master_at(std::size_t offset) const noexcept { return master_ + offset; }
    /// The same bytes, where a write faults.
    [[nodiscard]] std::byte* read_only_at(std::size_t offset) const noexcept {
        return master_ + capacity_ + offset;
    }

    bool map_owner(unsigned window, std::size_t offset, std::size_t length) const noexcept;
    bool map_foreign(unsigned window, std::size_t offset, std::size_t length) const noexcept;
    /// The payload half of map_foreign alone: the header page stays as it is.
    bool map_foreign_payload(unsigned window, std::size_t offset, std::size_t length) const noexcept;
    /// Back to PROT_NONE; private header pages are gone.
    void unmap(unsigned window, std::size_t offset, std::size_t length) const noexcept;
    /// Faults in an owner's pages by one call; a failure is harmless, the pages then come one by one.
    static void populate(std::span<std::byte> pages) noexcept;
    /// Frees the shared pages; they read as zero afterwards.
    void punch(std::size_t offset, std::size_t length) const noexcept;

    /// Fork, in the child: gives this process memory of its own under the same addresses. `copy_live` is
    /// called with the new writable master while the old one is there, and copies what must survive;
    /// afterwards the caller maps the blocks again. Needs no descriptor. Async-signal-safe. `false`: no
    /// memory, the child must not go on.
    bool refound(void (*copy_live)(std::byte* to, void* context), void* context) noexcept;

  private:
    bool reserve_exactly(std::size_t capacity, unsigned windows) noexcept;
    bool map_masters(int fd) const noexcept;
    [[nodiscard]] bool duplicates_hold() const noexcept;
    bool fail(const char* why) noexcept {
        why_ = why;
        return false;
    }

    std::uintptr_t base_ = 0;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    unsigned capacity_shift_ = 0;
    unsigned windows_ = 0;
    std::byte* master_ = nullptr;
    const char* why_ = "not started";
};

} // namespace isthmus::core

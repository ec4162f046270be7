/// The host's side of the shared memory: the window in which C++ code without an interpreter makes blocks,
/// and sees those of interpreters.
///
/// One for the process, never destroyed. A mutex of its own stands for the GIL of that window: all that
/// core/memory.hpp marks [G] happens under it. It is no counted lock, as no GIL is one; but nobody takes a
/// GIL, or waits for anybody, under it, so that it may be taken with or without a GIL.
///
/// The last share of a block may end anywhere, in CPython's free hook for one, and then the window is woken
/// there: it runs its releases at once if the mutex is free, and otherwise leaves them to whoever has it, who
/// looks once more after unlocking (see `leave`). So no thread is needed, nobody waits, and no release stays.
///
/// A block is laid out as the object that an interpreter in its place would have made: header room at the
/// object base, data, terminator. Its header area is never read. In the header page of a twin, which is
/// private to this window, the header's first bytes count who uses the twin.
///
/// fork(): the forking thread takes the mutex before all of the core's locks, so nothing of the window
/// changes meanwhile.
#pragma once

#include "core/forms.hpp"
#include "core/memory.hpp"
#include "core/share.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace isthmus::detail {

class host_memory {
  public:
    /// Of an object's block, header and terminator included: smaller ones are not shared. Starts the runtime.
    [[nodiscard]] std::size_t threshold();

    /// The object base of a new block of `size` bytes; null: there is no room, or no arena. Starts the
    /// runtime.
    [[nodiscard]] std::byte* allocate(std::size_t size);
    /// Gives back a block that was not published.
    void release(std::byte* object) noexcept;
    /// The first share of a block, cut to what its data needs. Nobody writes in it any more.
    [[nodiscard]] core::share publish(std::byte* object, core::form form, std::int64_t length) noexcept;

    /// Whether the block is one of this window's own: read it at `object_of` while there is a share of it.
    [[nodiscard]] bool owns(const core::slot& s) const noexcept;
    /// Makes the caller one more user of the twin over an interpreter's slot, made now if there is none,
    /// which consumes the share. False: no room in the window, the caller copies.
    [[nodiscard]] bool show(core::share& held);
    /// One user less. The last one ends the twin.
    void leave_twin(core::slot& s) noexcept;
    /// The object base in this window. Precondition: owned, or shown.
    [[nodiscard]] std::byte* object_of(const core::slot& s) const noexcept;

    // fork; registered when the window is taken
    void before_fork() noexcept { lock_.lock(); }
    void after_fork() noexcept { leave(); }

  private:
    /// Holds the mutex, as a GIL is held.
    class turn {
      public:
        explicit turn(host_memory& of) : of_(of) { of_.lock_.lock(); }
        ~turn() { of_.leave(); }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;

      private:
        host_memory& of_;
    };

    void prepare();
    bool take_window() noexcept; // [lock_]
    void knock() noexcept;
    void leave() noexcept; // [lock_], and unlocks it
    void drain() noexcept; // [lock_]

    std::mutex lock_;
    std::atomic<core::window*> window_{
        nullptr};                           ///< set once, under lock_; null until one was needed and there
    std::atomic<std::uint32_t> knocked_{0}; ///< 1: the window was woken since somebody last drained
    bool survives_forks_ = false;           ///< constant once prepared
    std::once_flag prepared_;
};

[[nodiscard]] host_memory& host() noexcept;

} // namespace isthmus::detail

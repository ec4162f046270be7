/// One claim on a slot ("share", design glossary): a message in flight or a live foreign twin.
///
/// Thread rules: a `share` may be moved between threads and dropped on any thread, with or without a GIL.
/// Dropping the last share of a sharing period queues one release in the owner's inbox (lock-free, allocates
/// nothing).
#pragma once

#include <utility>

namespace isthmus::core {

struct slot;

/// Gives one share of `s` back. Any thread, no GIL needed. Defined in slot.cpp.
void drop_share(slot& s) noexcept;

/// Adds one share; the caller must hold one already (or be the owner, under its GIL). Defined in slot.cpp.
void add_share(slot& s) noexcept;

/// Owns exactly one share of a slot, or none.
class share {
  public:
    share() noexcept = default;
    /// Adopts a share that was already counted.
    explicit share(slot* counted) noexcept : slot_(counted) {}
    share(share&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
    share& operator=(share&& other) noexcept {
        if (this != &other) {
            reset();
            slot_ = std::exchange(other.slot_, nullptr);
        }
        return *this;
    }
    share(const share&) = delete;
    share& operator=(const share&) = delete;
    ~share() { reset(); }

    [[nodiscard]] slot* get() const noexcept { return slot_; }
    explicit operator bool() const noexcept { return slot_ != nullptr; }

    /// Hands the share to the caller, who must drop it or adopt it again.
    [[nodiscard]] slot* release() noexcept { return std::exchange(slot_, nullptr); }
    void reset() noexcept {
        if (slot_ != nullptr) {
            drop_share(*std::exchange(slot_, nullptr));
        }
    }

  private:
    slot* slot_ = nullptr;
};

} // namespace isthmus::core

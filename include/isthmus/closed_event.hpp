/// The end of an interpreter, whoever ends it, as an event: Python's `Interpreter.closed`.
///
/// Threads as for channels. It keeps no interpreter open. One that the standard library or the host's own C
/// API ends counts as gone when its exit handlers have run.
#pragma once

#include <isthmus/channel.hpp>

namespace isthmus {

namespace detail {
class notice_end;
} // namespace detail

/// An object that was moved from may only be assigned to or destroyed.
class [[gnu::visibility("default")]] closed_event {
  public:
    /// Whether the interpreter is gone.
    [[nodiscard]] bool is_set() const noexcept;
    /// Waits until it is. False: the time is over. Throws std::bad_alloc.
    bool wait(patience timeout = std::nullopt) const;
    /// As channel_handle::fileno: readable once it is set.
    [[nodiscard]] int fileno() const;
    /// Whether they are of the same interpreter.
    [[nodiscard]] bool operator==(const closed_event& other) const noexcept;

  private:
    friend detail::access;
    explicit closed_event(std::shared_ptr<const detail::notice_end> end) noexcept : end_(std::move(end)) {}
    std::shared_ptr<const detail::notice_end> end_;
};

template <> struct [[gnu::visibility("default")]] conversion<closed_event> {
    static value to(const closed_event& v);
    static closed_event from(const value& v);
};

} // namespace isthmus

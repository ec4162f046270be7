/// A call that was posted to an interpreter, as `PendingCall` in Python.
#pragma once

#include <isthmus/channel.hpp>
#include <isthmus/value.hpp>

#include <future>
#include <memory>

namespace isthmus {

namespace detail {
class posted;
}

/// By interpreter::post. Movable; may outlive its interpreter, and the runtime. Dropping it changes nothing
/// for the call: what that returns is dropped then, and what it raises is given to its interpreter's
/// `sys.unraisablehook` if nobody held the pending_call any more when it began.
///
/// Threads: any, several at once; one that was moved from may only be assigned to or destroyed. A wait spins
/// briefly and then sleeps; a thread that holds a GIL lets go of it meanwhile.
class [[gnu::visibility("default")]] pending_call {
  public:
    pending_call(pending_call &&) noexcept;
    pending_call& operator=(pending_call&&) noexcept;
    ~pending_call();

    /// Waits for its end, however it ends. False: the time is over. Throws interpreter_error if it would wait
    /// for ever: without a time limit, inside a call that was posted to the same interpreter.
    bool wait(patience timeout = std::nullopt) const;
    /// It has ended: returned, raised, was cancelled, or failed with its interpreter.
    [[nodiscard]] bool done() const noexcept;
    /// It has begun and not ended.
    [[nodiscard]] bool running() const noexcept;
    [[nodiscard]] bool cancelled() const noexcept;
    /// Keeps it from running. False: it has begun or ended; true also if it was cancelled before.
    bool cancel();

    /// Waits for its end; what it returned, as often as it is asked for. Throws timeout_error: not yet;
    /// python_error: what it raised; not_shareable_error: an argument, or what it returned, can't cross;
    /// cancelled_error; interpreter_error: its interpreter closed, or this process forked, before it began;
    /// as wait(); std::bad_alloc.
    [[nodiscard]] value result(patience timeout = std::nullopt) const&;
    /// The same, once: without a copy.
    [[nodiscard]] value result(patience timeout = std::nullopt)&&;
    template <typename R> [[nodiscard]] R result(patience timeout = std::nullopt) const& {
        return outcome(timeout).template as<R>();
    }
    template <typename R> [[nodiscard]] R result(patience timeout = std::nullopt)&& {
        return outcome(timeout).template as<R>();
    }

    /// For code that wants one. It throws what `result` would; its `get` and `wait` are std::future's: hold
    /// no GIL meanwhile. Nothing is left here. Throws std::bad_alloc, and all is as it was.
    operator std::future<value>()&&;

  private:
    friend class interpreter;
    explicit pending_call(std::shared_ptr<detail::posted> call) noexcept;
    [[nodiscard]] const value& outcome(patience timeout) const;

    std::shared_ptr<detail::posted> call_;
};

} // namespace isthmus

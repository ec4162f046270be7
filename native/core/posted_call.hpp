/// A call that somebody asks an interpreter to run at its next safe point (design section 6): an errand whose
/// end others wait for.
///
/// Named invariants:
/// P1 "one end": a call begins at most once, and ends exactly once: done, cancelled, or failed;
/// `calls_posted` and `calls_ended` count the two. P2 "in order": calls that one thread posts to one
/// interpreter begin in that order, one after another. P3 "no end is missed": whoever waits is woken by the
/// end, by the death of the one it waits in, or by a fork being between the two: what was posted before a
/// fork and not begun is not run by the child.
#pragma once

#include "core/errand.hpp"
#include "core/notice.hpp"

#include <atomic>
#include <cstdint>
#include <memory>

namespace isthmus::core {

struct interpreter;

class posted_call : public errand {
  public:
    enum class phase : std::uint8_t {
        waiting,
        running,
        done,      ///< it ran to its end, well or not
        cancelled, ///< before it began
        failed ///< its interpreter closed before it began; or, in a forked child, it belongs to the parent
    };

    /// To be held by std::shared_ptr.
    explicit posted_call(std::shared_ptr<interpreter> to);
    virtual ~posted_call();

    /// Any thread.
    [[nodiscard]] phase now() const noexcept;
    [[nodiscard]] bool ended() const noexcept { return now() >= phase::done; }
    [[nodiscard]] interpreter& to() const noexcept { return *to_; }
    /// True: it was cancelled, now or before. Any thread; what its arguments held is dropped there.
    bool cancel() noexcept;
    /// ok: it has ended; else timed_out, interrupted, party_closing. Sleeps: no GIL, no lock.
    [[nodiscard]] outcome wait(party& by, futex::deadline until, wait_site& site) noexcept;
    /// Whether the calling thread runs a call of that same interpreter, and so waits for ever.
    [[nodiscard]] bool waits_for_itself() const noexcept;

    void run() final;
    void abandon() noexcept final;

  protected:
    /// In the interpreter it was posted to, under its GIL, on its helper's thread; begins at most once.
    /// Leaves what others will want to know. Not noexcept (H16).
    virtual void perform(interpreter& here) = 0;
    /// It will never be performed: drops what it would have needed. Any thread.
    virtual void discard() noexcept = 0;

  private:
    friend bool post_call(const std::shared_ptr<posted_call>& call) noexcept;

    [[nodiscard]] bool begin(phase next) noexcept;
    void fail() noexcept;
    void end(phase how) noexcept;
    /// Posted before a fork: only the parent runs it, and locks may be in the middle of anything.
    [[nodiscard]] bool of_parent() const noexcept;

    const std::shared_ptr<interpreter> to_;
    std::shared_ptr<posted_call> keep_; ///< itself, while it is in the inbox
    std::atomic<phase> phase_{phase::waiting};
    const std::uint32_t forks_;
    notice ended_;
};

/// By who has left `calls`, or shut it: wakes who waits for the end of the last call. Any thread.
void tell_if_calls_are_over(interpreter& of) noexcept;

/// False: its interpreter takes no more; it has failed then. Any thread. The caller then makes sure that a
/// helper runs.
[[nodiscard]] bool post_call(const std::shared_ptr<posted_call>& call) noexcept;

} // namespace isthmus::core

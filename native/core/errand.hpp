/// Work that others leave for one interpreter and that may run user code there (design section 6): the
/// release of a lent buffer, a posted call. Releases of slots run none and have the inbox of their window;
/// errands have one of their own, in the interpreter's record, so that they work without a window too, and so
/// that nothing of the user's runs inside somebody's allocation or `send`, where slots are drained.
///
/// Posted by any thread, with or without a GIL, without a lock or an allocation. Run by the interpreter's
/// helper under its GIL, one after another in the order in which they were posted, the last ones by whoever
/// closes it, before it ends. What comes later is abandoned.
#pragma once

#include "core/inbox.hpp"

namespace isthmus::core {

struct interpreter;

class errand : public inbox_node {
  public:
    errand() = default;
    errand(const errand&) = delete;
    errand& operator=(const errand&) = delete;

    /// In the interpreter it was posted to, under its GIL. May destroy the errand. Not noexcept: should
    /// CPython end the thread in there, it is unwound (H16).
    virtual void run() = 0;
    /// It will never run: the interpreter takes no more errands, or is gone. Any thread, any GIL or none. May
    /// destroy the errand.
    virtual void abandon() noexcept = 0;

  protected:
    ~errand() = default;
};

/// The errands of one interpreter: those posted, and the batch that is being run. What is not said to be for
/// any thread is for one thread at a time, under the owner's GIL, or once the owner is gone.
class errand_inbox {
  public:
    /// Any thread.
    inbox::posted post(errand& what) noexcept { return box_.post(what); }
    /// Nothing waits to be run. Any thread.
    [[nodiscard]] bool empty() const noexcept {
        return batch_.load(std::memory_order_relaxed) == nullptr && box_.empty();
    }
    /// Any thread.
    [[nodiscard]] bool closed() const noexcept { return box_.closed(); }
    /// How many wait: a gauge, any thread.
    [[nodiscard]] std::size_t depth() const noexcept {
        return box_.depth() + left_.load(std::memory_order_relaxed);
    }

    /// Takes the oldest; null if there is none.
    [[nodiscard]] errand* next() noexcept;
    /// Every later post is refused; `next` still gives what came before.
    void close() noexcept;

  private:
    inbox box_;
    std::atomic<inbox_node*> batch_{nullptr};
    std::atomic<std::size_t> left_{0}; ///< of the batch
};

/// False: refused, the caller abandons it. The caller keeps `to` alive: the errand may be over, and gone,
/// before this returns.
[[nodiscard]] bool post(interpreter& to, errand& what) noexcept;

/// Runs what waits, and what is posted meanwhile. Under the GIL of `here`, one thread at a time: its helper,
/// or its closer once the helper is stopped.
void run_errands(interpreter& here);

/// No errand is taken any more; the ones that wait are abandoned, loans that are out become orphans.
/// Idempotent. Under the GIL of `of`, or once it is gone.
void end_errands(interpreter& of) noexcept;

} // namespace isthmus::core

/// Work that others leave for one interpreter and that may run user code there (design section 6): the
/// release of a lent buffer. Releases of slots run none and have the inbox of their window; errands have one
/// of their own, in the interpreter's record, so that they work without a window too, and so that nothing of
/// the user's runs inside somebody's allocation or `send`, where slots are drained.
///
/// Posted by any thread, with or without a GIL, without a lock or an allocation. Run by the interpreter's
/// helper under its GIL, the last ones by whoever closes it, before it ends. What comes later is abandoned.
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

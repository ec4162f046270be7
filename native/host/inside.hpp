/// The calling thread of a host in an interpreter.
#pragma once

#include "cpython/lifecycle.hpp"

#include "core/registry.hpp"

namespace isthmus::host {

/// Makes the calling thread run in an interpreter, and hold its GIL, to the end of the scope; it may hold
/// another one, this one, or none before. The interpreter can't be closed meanwhile. Throws
/// interpreter_error: it is closed or closing; std::bad_alloc.
class inside {
  public:
    explicit inside(const core::interpreter_ref& record);
    ~inside();
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;

    /// The thread ran in it before.
    [[nodiscard]] bool was_there() const noexcept { return made_ == nullptr; }

    /// Whether the calling thread runs in `record`'s interpreter, under its GIL: by such a scope or not.
    [[nodiscard]] static bool now(const core::interpreter& record) noexcept {
        return (innermost_.in == &record && py::compat::is_current(*innermost_.thread)) || looks_so(record);
    }

  private:
    /// Of the scopes that gave their thread a thread state, and in which that is what counts.
    struct place {
        const core::interpreter* in;
        const PyThreadState* thread;
    };
    [[gnu::tls_model("initial-exec")]] static thread_local constinit place innermost_;
    [[nodiscard]] static bool looks_so(const core::interpreter& record) noexcept;

    core::interpreter_ref record_;
    py::run_permit permit_;
    PyThreadState* made_ = nullptr;
    PyThreadState* outside_ = nullptr;
    place around_{};
};

/// The record of the main interpreter of CPython's current life. Throws interpreter_error: there is no
/// runtime.
[[nodiscard]] core::interpreter_ref main_record();

} // namespace isthmus::host

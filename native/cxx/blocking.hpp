/// Waits of C++ threads. A thread that holds a GIL lets go of it while it sleeps: whoever it waits for may
/// need it. What a GIL is, only the library above knows, which says so through hooks; without it no thread
/// holds one.
///
/// Any thread; no lock held.
#pragma once

#include <isthmus/channel.hpp>

#include "core/futex.hpp"
#include "core/party.hpp"
#include "core/waiter.hpp"

#include <new>

namespace isthmus::detail {

struct gil_hooks {
    /// Lets go of the GIL that the calling thread holds; null: it holds none.
    void* (*leave)() noexcept;
    /// Takes it again, by what leave() returned. CPython may unwind the thread from here, or keep it for
    /// ever.
    void (*back)(void* left);
};

/// `hooks` stays valid for ever; null: no Python. Any time, any thread.
void set_gil_hooks(const gil_hooks* hooks) noexcept;
[[nodiscard]] const gil_hooks* current_gil_hooks() noexcept;

/// The party of all C++ threads of the process. Never destroyed, never closed. Throws std::bad_alloc, at its
/// first use only.
[[nodiscard]] core::party& host_party();

/// Nothing: no limit.
[[nodiscard]] core::futex::deadline deadline_of(patience timeout) noexcept;
[[nodiscard]] inline bool may_wait(patience timeout) noexcept {
    return !timeout || *timeout > std::chrono::nanoseconds::zero();
}

/// `operation()` without a GIL; it throws nothing but std::bad_alloc. Not a scope with a destructor: from one
/// the thread could not be unwound.
template <typename Operation> auto without_gil(Operation operation) {
    const gil_hooks* const hooks = current_gil_hooks();
    void* const left = hooks != nullptr ? hooks->leave() : nullptr;
    if (left == nullptr) {
        return operation();
    }
    decltype(operation()) result{};
    bool out_of_memory = false;
    try {
        result = operation();
    } catch (const std::bad_alloc&) {
        out_of_memory = true;
    }
    hooks->back(left);
    if (out_of_memory) {
        throw std::bad_alloc();
    }
    return result;
}

/// `attempt()`; if that would block, and `timeout` lets it, `wait(deadline, site)`.
template <typename Attempt, typename Wait>
core::outcome attempt_or_wait(patience timeout, Attempt attempt, Wait wait) {
    const core::futex::deadline until = deadline_of(timeout); // of all that follows
    core::outcome how = attempt();
    if (how != core::outcome::would_block || !may_wait(timeout)) {
        return how;
    }
    return without_gil([&] {
        core::wait_site site; // of nobody who could interrupt it
        return wait(until, site);
    });
}

} // namespace isthmus::detail

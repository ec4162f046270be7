/// What a `bytes`, a `text` or a builder holds: data in one of four places, let go of when it is destroyed.
///
/// Published data is constant, and any number of threads may read it. Before that, and while it is being
/// destroyed, it is one thread's. Destroying it may wait for the host's mutex for a moment, never for a GIL.
#pragma once

#include "core/forms.hpp"
#include "core/share.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace isthmus::detail {

struct alignas(alignof(std::max_align_t)) payload {
    enum class place : std::uint8_t {
        heap,  ///< behind this, in the same piece of memory
        block, ///< a block of the host's that nobody else knows yet
        own,   ///< a block of the host's, of which this has a share
        twin   ///< an interpreter's block: this is a user of the host's twin over it
    };

    place where = place::heap;
    core::form form = core::form::bytes;
    std::byte* data = nullptr;
    core::slot* in = nullptr; ///< own, twin: the slot

    payload() noexcept = default;
    payload(const payload&) = delete;
    payload& operator=(const payload&) = delete;
    ~payload();

    /// One more share of what it lies in; null: heap memory. Precondition: published.
    [[nodiscard]] core::share share_out() const noexcept;

    struct room {
        std::size_t behind; ///< bytes after the payload
    };
    static void* operator new(std::size_t size, room extra);
    static void operator delete(void* at) noexcept;
    static void operator delete(void* at, room extra) noexcept;
};

/// Room for `length` items of that form and a terminator: in shared memory if they are enough, and there is
/// some. Throws std::bad_alloc.
[[nodiscard]] std::unique_ptr<payload> reserve(core::form form, std::size_t length);
/// Terminates the first `length` items, at most as many as reserved, and makes them constant. If it throws
/// std::bad_alloc, `filled` is as it was.
[[nodiscard]] std::shared_ptr<const payload> publish(std::unique_ptr<payload>& filled, std::size_t length);
/// What lies in the slot of `held`, under its form; copied if it can't be seen from here. Throws
/// std::bad_alloc.
[[nodiscard]] std::shared_ptr<const payload> receive(core::share held);
/// Either may be null: nothing.
[[nodiscard]] bool same_memory(const payload* a, const payload* b) noexcept;

} // namespace isthmus::detail

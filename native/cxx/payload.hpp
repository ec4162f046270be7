/// What `isthmus::bytes` and `isthmus::text` hold, and the way in and out of them for the layers above:
/// shares of slots, and characters as CPython stores them.
///
/// Any thread, no GIL.
#pragma once

#include <isthmus/bytes.hpp>

#include "core/forms.hpp"
#include "core/share.hpp"

#include <cstddef>
#include <memory>
#include <span>

namespace isthmus::detail {

/// The one way to what the classes of the interface keep private.
struct access {
    /// Of a send_channel, a recv_channel, a queue.
    template <typename Of> [[nodiscard]] static const auto& end_of(const Of& o) noexcept { return o.end_; }
    template <typename Of, typename End> [[nodiscard]] static Of with_end(std::shared_ptr<const End> end) {
        return Of(std::move(end));
    }
    template <typename Case> [[nodiscard]] static const auto& on(const Case& c) noexcept { return c.on_; }
    template <typename Case> [[nodiscard]] static const auto& offered(const Case& c) noexcept {
        return c.what_;
    }

    /// Another share of the slot that it lies in; null: it lies in none, and is to be copied.
    [[nodiscard]] static core::share share_of(const bytes& b) noexcept;
    [[nodiscard]] static core::share share_of(const text& t) noexcept;

    /// What lies in the slot of `held`, which holds exact bytes (or text). Without a copy where there is room
    /// in the host's window. Throws std::bad_alloc.
    [[nodiscard]] static bytes bytes_from(core::share held);
    [[nodiscard]] static text text_from(core::share held);

    /// Whether the slot holds `bytes`; else it holds text.
    [[nodiscard]] static bool holds_bytes(const core::share& held) noexcept;

    /// Text of `length` items in that form: ascii, latin1, ucs2 or ucs4, the narrowest that fits. One copy.
    [[nodiscard]] static text make_text(core::form form, const void* characters, std::size_t length);
    /// ascii for empty text.
    [[nodiscard]] static core::form form_of(const text& t) noexcept;
    /// Its items, `character_size(form)` bytes each, without the terminator.
    [[nodiscard]] static std::span<const std::byte> characters_of(const text& t) noexcept;

    /// The whole of what is published. `held` may be null if it is empty.
    [[nodiscard]] static bytes whole_bytes(std::shared_ptr<const payload> held, std::size_t size) noexcept;
    [[nodiscard]] static text whole_text(std::shared_ptr<const payload> held, std::size_t length) noexcept;
};

} // namespace isthmus::detail

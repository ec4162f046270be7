/// Values of the C++ interface as messages, in the format of core/wire.hpp, and back. No Python takes part:
/// what only an interpreter can make sense of (instances, classes, pickles, big ints, ...) stays a message
/// inside a value that can be passed on.
///
/// Any thread, no GIL.
#pragma once

#include <isthmus/value.hpp>

#include "core/message.hpp"

#include <memory>
#include <mutex>

namespace isthmus::detail {

/// Throws not_shareable_error, std::bad_alloc. Large bytes and text travel as shares.
[[nodiscard]] core::message encode(const value& v);

/// Throws std::bad_alloc. Never fails otherwise: what can't be read becomes an object.
[[nodiscard]] value decode(core::message m);

/// An encoded value, until somebody takes it out of `what`. If nobody does, an object that can be sent only
/// once may still be sent.
struct outgoing {
    outgoing() noexcept = default;
    explicit outgoing(const value& v) : of(&v), what(encode(v)) {}
    outgoing(outgoing&&) noexcept = default;
    outgoing& operator=(outgoing&&) = delete;
    ~outgoing();

    const value* of = nullptr;
    core::message what;
};

/// A message that a value keeps as it came. Sent again it is copied, unless what travels in it (a descriptor)
/// can be given away only once: then the first send takes it, and later ones throw not_shareable_error.
class object {
  public:
    explicit object(core::message m) noexcept : held_(std::move(m)) {}
    /// Throws not_shareable_error, std::bad_alloc.
    [[nodiscard]] core::message again() const;
    /// What again() gave has not been sent.
    void give_back(core::message m) const noexcept;

  private:
    mutable std::mutex lock_;
    mutable core::message held_;
};

/// What is the same thing on both sides, inside a value: an end of a channel, a queue, memory.
class handle {
  public:
    handle() = default;
    handle(const handle&) = delete;
    handle& operator=(const handle&) = delete;
    virtual ~handle() = default;
    /// As it travels: counted as in flight until it is received or dropped. Throws std::bad_alloc.
    [[nodiscard]] virtual std::unique_ptr<core::attachment> pack() const = 0;
    /// The name of its Python type; static.
    [[nodiscard]] virtual std::string_view type_name() const noexcept = 0;
    /// Whether both stand for the same thing.
    [[nodiscard]] virtual bool same(const handle& other) const noexcept = 0;
};

/// The handle of that kind in a value. Throws type_error.
template <typename Handle>
[[nodiscard]] std::shared_ptr<const Handle> handle_in(const value& v, std::string_view expected) {
    const auto* const held = v.get_if<value::handle>();
    auto found = held != nullptr ? std::dynamic_pointer_cast<const Handle>(*held) : nullptr;
    if (found == nullptr) {
        v.refuse(expected);
    }
    return found;
}

/// Whether unpack() knows it.
[[nodiscard]] bool recognises(const core::attachment& travelling) noexcept;
/// The handle for what travels; null: nothing that C++ knows (then the value stays an object). Consumes it
/// only if it is known. Throws std::bad_alloc.
[[nodiscard]] std::shared_ptr<const handle> unpack(std::unique_ptr<core::attachment>& travelling);

} // namespace isthmus::detail

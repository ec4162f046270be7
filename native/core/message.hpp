/// What a channel moves: one value on its way between two interpreters.
///
/// A message owns what it carries. Every way it can end (received, dropped, refused, thrown away by an
/// exception) ends in its destructor, which drops each share and attachment exactly once (invariant 5 of the
/// design). Destroying an attachment may take channel locks, so a message is never destroyed while one is
/// held.
///
/// Thread rules: a message belongs to one thread at a time; moving it to another needs no GIL. Moves never
/// fail.
#pragma once

#include "core/byte_buffer.hpp"
#include "core/share.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace isthmus::core {

class conduit;

/// What becomes of a queued message whose sender's interpreter ends before it was received (PEP 734's
/// `unbounditems`).
enum class unbound : std::uint8_t {
    replace, ///< a marker stands in its place
    error,   ///< likewise, and receiving the marker is an error
    remove   ///< it leaves the queue
};

/// Something alive that travels with a value and must be given back if it is never received: a channel's end,
/// an interpreter's handle. Its destructor may run on any thread, without a GIL.
struct attachment {
    attachment() = default;
    attachment(const attachment&) = delete;
    attachment& operator=(const attachment&) = delete;
    virtual ~attachment();
    /// The channel or queue whose end this is; null for all else. It counts as one of its claims in flight.
    [[nodiscard]] virtual conduit* carries() const noexcept { return nullptr; }
    /// Another one of the same thing; null: there is only one. Any thread, no GIL. May throw std::bad_alloc.
    [[nodiscard]] virtual std::unique_ptr<attachment> again() const;
};

/// The body of a value that does not fit inline.
struct parcel {
    byte_buffer data;                                     ///< encoded by layer crossing
    std::vector<share> shares;                            ///< in the order `data` refers to them
    std::vector<std::unique_ptr<attachment>> attachments; ///< likewise
};

/// 64 bytes: a kind, up to `inline_capacity` bytes, and at most one of a share and a parcel.
class message {
  public:
    static constexpr std::size_t inline_capacity = 48;

    enum class form : std::uint8_t {
        empty,  ///< carries nothing; what a moved-from message is
        marker, ///< see marker()
        bytes,  ///< inline bytes only
        shared, ///< a share, and inline bytes if any
        parcel  ///< a parcel, and inline bytes if any
    };

    message() noexcept = default;
    /// `bytes.size()` must not exceed `inline_capacity`; none of the constructors allocates.
    message(std::uint8_t kind, std::span<const std::byte> bytes) noexcept;
    message(std::uint8_t kind, share held, std::span<const std::byte> bytes = {}) noexcept;
    message(std::uint8_t kind, std::unique_ptr<parcel> held, std::span<const std::byte> bytes = {}) noexcept;

    message(message&& other) noexcept : fields_(other.fields_) { other.forget(); }
    message& operator=(message&& other) noexcept {
        if (this != &other) {
            reset();
            fields_ = other.fields_;
            other.forget();
        }
        return *this;
    }
    /// Takes over what lies in `stored`, whose lifetime ends here without another write to it: its cache line
    /// need not come over for that. Precondition: this message is empty, and nobody destroys `stored`.
    void relocate_from(const message& stored) noexcept { fields_ = stored.fields_; }
    message(const message&) = delete;
    message& operator=(const message&) = delete;
    ~message() { reset(); }

    /// For queues. A marker's `if_unbound` is that of the message it replaced.
    [[nodiscard]] unbound if_unbound() const noexcept { return fields_.if_unbound; }
    void set_if_unbound(unbound how) noexcept { fields_.if_unbound = how; }
    /// Stands for a message whose sender is gone; it carries nothing else.
    [[nodiscard]] static message marker(unbound how) noexcept {
        message made;
        made.fields_.shape = form::marker;
        made.fields_.if_unbound = how;
        return made;
    }
    [[nodiscard]] bool is_marker() const noexcept { return fields_.shape == form::marker; }

    /// Opaque to core: layer crossing's name for how the value is encoded.
    [[nodiscard]] std::uint8_t kind() const noexcept { return fields_.kind; }
    [[nodiscard]] form shape() const noexcept { return fields_.shape; }
    [[nodiscard]] bool empty() const noexcept { return fields_.shape == form::empty; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {fields_.bytes, fields_.size}; }

    /// The slot whose share travels here, or null. The message keeps the share.
    [[nodiscard]] slot* shared_slot() const noexcept {
        return fields_.shape == form::shared ? static_cast<slot*>(fields_.held) : nullptr;
    }
    /// The parcel that travels here, or null. The message keeps it.
    [[nodiscard]] parcel* body() const noexcept {
        return fields_.shape == form::parcel ? static_cast<parcel*>(fields_.held) : nullptr;
    }
    /// Appends the channels and queues whose ends travel here, one for each end. May throw std::bad_alloc.
    void collect_carried(std::vector<conduit*>& into) const;
    /// Takes the share (or the parcel) out; kind and inline bytes stay. Empty when there is none.
    [[nodiscard]] share take_share() noexcept;
    [[nodiscard]] std::unique_ptr<parcel> take_parcel() noexcept;

    /// Drops what it holds; the message is empty afterwards.
    void reset() noexcept {
        if (fields_.shape > form::bytes) {
            drop_held();
        }
        forget();
    }

  private:
    /// Plain data, so that a move is a copy of one cache line.
    struct fields {
        form shape = form::empty;
        std::uint8_t kind = 0;
        std::uint8_t size = 0; ///< of `bytes`
        unbound if_unbound = unbound::replace;
        void* held = nullptr; ///< a slot with one share counted for us, or a parcel of ours
        std::byte bytes[inline_capacity];
    };
    static_assert(std::is_trivially_copyable_v<fields>);

    void set(form shape, std::uint8_t kind, void* held, std::span<const std::byte> bytes) noexcept;
    void forget() noexcept {
        fields_.shape = form::empty;
        fields_.size = 0;
    }
    void drop_held() noexcept;

    fields fields_;
};
static_assert(sizeof(message) == 64);
static_assert(std::is_nothrow_move_constructible_v<message> && std::is_nothrow_move_assignable_v<message>);

} // namespace isthmus::core

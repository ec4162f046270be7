#include "core/message.hpp"

#include "core/lock.hpp"

#include <cassert>
#include <cstring>

namespace isthmus::core {

attachment::~attachment() = default;

std::unique_ptr<attachment> attachment::again() const {
    return nullptr;
}

message::message(std::uint8_t kind, std::span<const std::byte> bytes) noexcept {
    set(form::bytes, kind, nullptr, bytes);
}

message::message(std::uint8_t kind, share held, std::span<const std::byte> bytes) noexcept {
    slot* const counted = held.release();
    set(counted != nullptr ? form::shared : form::bytes, kind, counted, bytes);
}

message::message(std::uint8_t kind, std::unique_ptr<parcel> held, std::span<const std::byte> bytes) noexcept {
    set(held ? form::parcel : form::bytes, kind, held.get(), bytes);
    static_cast<void>(held.release()); // now ours, through fields_.held
}

void message::set(form shape, std::uint8_t kind, void* held, std::span<const std::byte> bytes) noexcept {
    assert(bytes.size() <= inline_capacity);
    fields_.shape = shape;
    fields_.kind = kind;
    fields_.held = held;
    fields_.size = static_cast<std::uint8_t>(bytes.size());
    if (!bytes.empty()) {
        std::memcpy(fields_.bytes, bytes.data(), bytes.size());
    }
}

void message::collect_carried(std::vector<conduit*>& into) const {
    if (const parcel* const held = body(); held != nullptr) {
        for (const std::unique_ptr<attachment>& each : held->attachments) {
            if (conduit* const carried = each != nullptr ? each->carries() : nullptr; carried != nullptr) {
                into.push_back(carried);
            }
        }
    }
}

share message::take_share() noexcept {
    if (fields_.shape != form::shared) {
        return {};
    }
    fields_.shape = form::bytes;
    return share(static_cast<slot*>(fields_.held));
}

std::unique_ptr<parcel> message::take_parcel() noexcept {
    if (fields_.shape != form::parcel) {
        return {};
    }
    fields_.shape = form::bytes;
    return std::unique_ptr<parcel>(static_cast<parcel*>(fields_.held));
}

void message::drop_held() noexcept {
    assert(held_locks::here() ==
           0); // invariant 8: what it holds may come back to a channel, or post a release
    // Taking it out first leaves the message consistent if the destruction comes back to look at it.
    const share dropped_share = take_share();
    const std::unique_ptr<parcel> dropped_parcel = take_parcel();
}

} // namespace isthmus::core

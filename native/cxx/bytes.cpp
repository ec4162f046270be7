#include <isthmus/bytes.hpp>

#include "cxx/payload.hpp"
#include "cxx/stored.hpp"

#include "core/slot.hpp"

#include <cstring>
#include <stdexcept>
#include <utility>

namespace isthmus {

bytes::bytes(std::span<const std::byte> data) {
    if (data.empty()) {
        return;
    }
    bytes_builder copy(data.size());
    std::memcpy(copy.data(), data.data(), data.size());
    *this = std::move(copy).publish();
}

bytes::bytes(std::string_view data) : bytes(std::as_bytes(std::span(data))) {}

bool bytes::shared() const noexcept {
    return held_ != nullptr && held_->in != nullptr;
}

bool bytes::same_memory(const bytes& other) const noexcept {
    return detail::same_memory(held_.get(), other.held_.get());
}

bytes_builder::bytes_builder(std::size_t size) {
    if (size != 0) {
        held_ = detail::reserve(core::form::bytes, size);
        data_ = held_->data;
        size_ = size;
    }
}

bytes_builder::bytes_builder(bytes_builder&& other) noexcept
    : held_(std::move(other.held_)), data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

bytes_builder& bytes_builder::operator=(bytes_builder&& other) noexcept {
    held_ = std::move(other.held_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
}

bytes_builder::~bytes_builder() = default;

void bytes_builder::truncate(std::size_t size) {
    if (size > size_) {
        throw std::invalid_argument("bytes_builder::truncate: " + std::to_string(size) + " bytes of " +
                                    std::to_string(size_));
    }
    size_ = size;
}

bytes bytes_builder::publish() && {
    bytes made;
    if (size_ != 0) {
        made = detail::access::whole_bytes(detail::publish(held_, size_), size_);
    }
    held_ = nullptr;
    data_ = nullptr;
    size_ = 0;
    return made;
}

namespace detail {

bytes access::whole_bytes(std::shared_ptr<const payload> held, std::size_t size) noexcept {
    bytes made;
    if (size != 0) {
        made.data_.value = held->data;
        made.size_.value = size;
        made.held_ = std::move(held);
    }
    return made;
}

core::share access::share_of(const bytes& b) noexcept {
    return b.held_ != nullptr ? b.held_->share_out() : core::share();
}

bytes access::bytes_from(core::share held) {
    const auto size = static_cast<std::size_t>(held.get()->record.length);
    return whole_bytes(receive(std::move(held)), size);
}

bool access::holds_bytes(const core::share& held) noexcept {
    return core::form{held.get()->record.form} == core::form::bytes;
}

} // namespace detail

} // namespace isthmus

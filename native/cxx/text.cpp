#include <isthmus/bytes.hpp>
#include <isthmus/error.hpp>

#include "cxx/payload.hpp"
#include "cxx/stored.hpp"
#include "cxx/utf8.hpp"

#include "core/slot.hpp"

#include <cstring>
#include <utility>

namespace isthmus {

using detail::access;

text::text(std::string_view utf8) {
    const detail::text_size size = detail::measure_utf8(utf8);
    if (size.length == 0) {
        return;
    }
    std::unique_ptr<detail::payload> filled = detail::reserve(size.form, size.length);
    detail::decode_utf8(utf8, size.form, filled->data);
    *this = access::whole_text(detail::publish(filled, size.length), size.length);
}

std::string text::str() const {
    return detail::encode_utf8(access::form_of(*this), access::characters_of(*this));
}

bool text::is_ascii() const noexcept {
    return access::form_of(*this) == core::form::ascii;
}

std::string_view text::ascii() const {
    if (!is_ascii()) {
        throw type_error("the text is not ASCII");
    }
    return {reinterpret_cast<const char*>(data_.value), length_.value};
}

bool text::shared() const noexcept {
    return held_ != nullptr && held_->in != nullptr;
}

bool text::same_memory(const text& other) const noexcept {
    return detail::same_memory(held_.get(), other.held_.get());
}

bool text::equals(const text& other) const noexcept {
    // Each is in the narrowest form, so equal text has equal items.
    const std::span<const std::byte> items = access::characters_of(*this);
    return length_.value == other.length_.value && access::form_of(*this) == access::form_of(other) &&
           (length_.value == 0 || std::memcmp(items.data(), other.data_.value, items.size()) == 0);
}

namespace detail {

text access::whole_text(std::shared_ptr<const payload> held, std::size_t length) noexcept {
    text made;
    if (length != 0) {
        made.data_.value = held->data;
        made.length_.value = length;
        made.held_ = std::move(held);
    }
    return made;
}

core::share access::share_of(const text& t) noexcept {
    return t.held_ != nullptr ? t.held_->share_out() : core::share();
}

text access::text_from(core::share held) {
    const auto length = static_cast<std::size_t>(held.get()->record.length);
    return whole_text(receive(std::move(held)), length);
}

text access::make_text(core::form form, const void* characters, std::size_t length) {
    if (length == 0) {
        return {};
    }
    std::unique_ptr<payload> filled = reserve(form, length);
    std::memcpy(filled->data, characters, length * core::character_size(form));
    return whole_text(publish(filled, length), length);
}

core::form access::form_of(const text& t) noexcept {
    return t.held_ != nullptr ? t.held_->form : core::form::ascii;
}

std::span<const std::byte> access::characters_of(const text& t) noexcept {
    return {t.data_.value, t.length_.value * core::character_size(form_of(t))};
}

} // namespace detail

} // namespace isthmus

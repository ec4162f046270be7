/// Reads what a parcel's data says, token after token, and never past its end. Only what C++ knows of the
/// format (core/wire.hpp) is a token here.
///
/// Belongs to one thread; the data outlives it.
#pragma once

#include "core/byte_buffer.hpp"
#include "core/wire.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace isthmus::detail {

/// A tag and its operands.
struct token {
    core::wire::tag is = core::wire::tag::nothing;
    bool remember = false;
    std::int64_t integer = 0;
    double real = 0;
    std::size_t width = 1;           ///< bytes of a character
    std::uint64_t count = 0;         ///< bytes, characters, values, pairs; or the number that `again` names
    const std::byte* data = nullptr; ///< of octets and texts
};

/// Reads token after token.
class scanner {
    using tag = core::wire::tag;

  public:
    explicit scanner(const core::byte_buffer& data) noexcept : at_(data.data()), left_(data.size()) {}

    [[nodiscard]] bool at_end() const noexcept { return left_ == 0; }

    /// False: the data ends, or makes no sense, or is nothing that C++ knows.
    [[nodiscard]] bool next(token& t) noexcept {
        std::uint8_t first = 0;
        if (!read(first)) {
            return false;
        }
        t.remember = (first & core::wire::remembered) != 0;
        t.is = tag{static_cast<std::uint8_t>(first & ~core::wire::remembered)};
        return operands(t);
    }

  private:
    [[nodiscard]] bool operands(token& t) noexcept {
        switch (t.is) {
        case tag::nothing:
        case tag::yes:
        case tag::no:
        case tag::twin:
        case tag::attachment:
            return true;
        case tag::int8:
            return integer<std::int8_t>(t);
        case tag::int32:
            return integer<std::int32_t>(t);
        case tag::int64:
            return integer<std::int64_t>(t);
        case tag::real:
            return read(t.real);
        case tag::octets:
        case tag::ascii:
            t.width = 1;
            return characters(t);
        case tag::text:
        case tag::name: {
            std::uint8_t width = 0;
            const bool known = read(width) && (width == 1 || width == 2 || width == 4);
            t.width = width;
            return known && characters(t);
        }
        case tag::again:
            return count(t.count);
        case tag::tuple:
        case tag::list:
            return count(t.count) && t.count <= left_;
        case tag::dict:
            return count(t.count) && t.count <= left_ / 2;
        default:
            return false;
        }
    }

    template <typename Number> [[nodiscard]] bool read(Number& into) noexcept {
        if (left_ < sizeof into) {
            return false;
        }
        std::memcpy(&into, at_, sizeof into);
        at_ += sizeof into;
        left_ -= sizeof into;
        return true;
    }
    template <typename Number> [[nodiscard]] bool integer(token& t) noexcept {
        Number n{};
        const bool there = read(n);
        t.integer = std::int64_t{1} * n; // a number, though clang-tidy takes one byte for a character
        return there;
    }
    [[nodiscard]] bool count(std::uint64_t& into) noexcept {
        std::uint8_t small = 0;
        if (!read(small)) {
            return false;
        }
        into = small;
        return small != 255 || read(into);
    }
    [[nodiscard]] bool characters(token& t) noexcept {
        if (!count(t.count) || t.count > left_ / t.width) {
            return false;
        }
        t.data = at_;
        at_ += t.count * t.width;
        left_ -= t.count * t.width;
        return true;
    }

    const std::byte* at_;
    std::size_t left_;
};

inline std::uint32_t largest_character(const std::byte* data, std::size_t width,
                                       std::uint64_t length) noexcept {
    std::uint32_t largest = 0;
    for (std::uint64_t i = 0; i < length; ++i) {
        std::uint32_t character =
            0; // what is not copied into stays zero: little endian, as the supported are
        std::memcpy(&character, data + i * width, width);
        largest = std::max(largest, character);
    }
    return largest;
}

} // namespace isthmus::detail

#include "cxx/utf8.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace isthmus::detail {
namespace {

constexpr char32_t last_code_point = 0x10ffff;
/// The least code point that needs so many bytes of UTF-8.
constexpr std::array<char32_t, 5> least_of_size = {0, 0, 0x80, 0x800, 0x10000};

struct code_point {
    char32_t value = 0;
    unsigned size = 0; ///< bytes of UTF-8; 0: it is none
};

/// The first code point of `utf8`, which is not empty.
code_point first_of(std::string_view utf8) noexcept {
    const auto lead = static_cast<unsigned char>(utf8[0]);
    if (lead < 0x80) {
        return {lead, 1};
    }
    const unsigned size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0xc0 || lead >= 0xf8 || utf8.size() < size) {
        return {};
    }
    char32_t value = lead & (0x7fU >> size);
    for (unsigned at = 1; at < size; ++at) {
        const auto next = static_cast<unsigned char>(utf8[at]);
        if ((next & 0xc0U) != 0x80U) {
            return {};
        }
        value = value << 6U | (next & 0x3fU);
    }
    // Overlong, or beyond what there is.
    return value >= least_of_size[size] && value <= last_code_point ? code_point{value, size} : code_point{};
}

/// How many bytes of ASCII `utf8` begins with.
std::size_t ascii_prefix(std::string_view utf8) noexcept {
    constexpr std::uint64_t high_bits = 0x8080'8080'8080'8080;
    std::size_t at = 0;
    for (std::uint64_t word = 0; at + sizeof word <= utf8.size(); at += sizeof word) {
        std::memcpy(&word, utf8.data() + at, sizeof word);
        if ((word & high_bits) != 0) {
            break;
        }
    }
    while (at < utf8.size() && static_cast<unsigned char>(utf8[at]) < 0x80) {
        ++at;
    }
    return at;
}

core::form narrowest(char32_t highest) noexcept {
    return highest < 0x80      ? core::form::ascii
           : highest < 0x100   ? core::form::latin1
           : highest < 0x10000 ? core::form::ucs2
                               : core::form::ucs4;
}

template <typename Item> void decode_as(std::string_view utf8, std::byte* to) noexcept {
    while (!utf8.empty()) {
        const code_point next = first_of(utf8);
        const auto item = static_cast<Item>(next.value);
        std::memcpy(to, &item, sizeof item);
        to += sizeof item;
        utf8.remove_prefix(next.size);
    }
}

unsigned size_of(char32_t value) noexcept {
    return value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
}

char* append(char32_t value, char* to) noexcept {
    const unsigned size = size_of(value);
    if (size == 1) {
        *to = static_cast<char>(value);
        return to + 1;
    }
    for (unsigned at = size; --at > 0; value >>= 6U) {
        to[at] = static_cast<char>(0x80U | (value & 0x3fU));
    }
    *to = static_cast<char>(0xf00U >> size | value); // as many leading ones as bytes
    return to + size;
}

template <typename Item, typename Visit>
void for_each(std::span<const std::byte> characters, Visit visit) noexcept {
    for (std::size_t at = 0; at < characters.size(); at += sizeof(Item)) {
        Item item{};
        std::memcpy(&item, characters.data() + at, sizeof item);
        visit(static_cast<char32_t>(item));
    }
}

template <typename Item> std::string encode_as(std::span<const std::byte> characters) {
    std::size_t size = 0;
    for_each<Item>(characters, [&](char32_t value) { size += size_of(value); });
    std::string utf8(size, '\0');
    char* to = utf8.data();
    for_each<Item>(characters, [&](char32_t value) { to = append(value, to); });
    return utf8;
}

} // namespace

text_size measure_utf8(std::string_view utf8) {
    text_size found;
    char32_t highest = 0;
    for (std::size_t at = 0; at < utf8.size();) {
        const std::size_t plain = ascii_prefix(utf8.substr(at));
        found.length += plain;
        at += plain;
        while (at < utf8.size() && static_cast<unsigned char>(utf8[at]) >= 0x80) {
            const code_point next = first_of(utf8.substr(at));
            if (next.size == 0) {
                throw std::invalid_argument("not UTF-8 at byte " + std::to_string(at));
            }
            highest = std::max(highest, next.value);
            ++found.length;
            at += next.size;
        }
    }
    found.form = narrowest(highest);
    return found;
}

void decode_utf8(std::string_view utf8, core::form form, std::byte* to) noexcept {
    switch (form) {
    case core::form::latin1:
        decode_as<std::uint8_t>(utf8, to);
        break;
    case core::form::ucs2:
        decode_as<char16_t>(utf8, to);
        break;
    case core::form::ucs4:
        decode_as<char32_t>(utf8, to);
        break;
    default:
        std::memcpy(to, utf8.data(), utf8.size());
        break;
    }
}

std::string encode_utf8(core::form form, std::span<const std::byte> characters) {
    switch (form) {
    case core::form::latin1:
        return encode_as<std::uint8_t>(characters);
    case core::form::ucs2:
        return encode_as<char16_t>(characters);
    case core::form::ucs4:
        return encode_as<char32_t>(characters);
    default:
        return {reinterpret_cast<const char*>(characters.data()), characters.size()};
    }
}

} // namespace isthmus::detail

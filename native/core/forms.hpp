/// How an exact `bytes` or `str` begins in memory, for those who place one without Python: C++ threads. The
/// cpython layer asserts that CPython has them so.
#pragma once

#include <cstddef>
#include <cstdint>

namespace isthmus::core {

/// The values travel in slot_record::form.
enum class form : std::uint8_t { none, bytes, ascii, latin1, ucs2, ucs4 };

inline constexpr std::size_t bytes_header = 32;
inline constexpr std::size_t ascii_header = 40;
inline constexpr std::size_t text_header = 56;

[[nodiscard]] constexpr std::size_t header_size(form f) noexcept {
    return f == form::bytes ? bytes_header : f == form::ascii ? ascii_header : text_header;
}
/// Bytes of one item.
[[nodiscard]] constexpr std::size_t character_size(form f) noexcept {
    return f == form::ucs2 ? 2 : f == form::ucs4 ? 4 : 1;
}
/// Bytes of `length` items and the terminator.
[[nodiscard]] constexpr std::size_t data_size(form f, std::int64_t length) noexcept {
    return (static_cast<std::size_t>(length) + 1) * character_size(f);
}

} // namespace isthmus::core

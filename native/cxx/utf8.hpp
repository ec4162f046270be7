/// UTF-8 and the forms in which CPython keeps text (PEP 393). Lone surrogates are encoded as any other code
/// point, as CPython's "surrogatepass" has them; everything else that is not UTF-8 is refused.
///
/// Any thread.
#pragma once

#include "core/forms.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace isthmus::detail {

struct text_size {
    core::form form = core::form::ascii; ///< the narrowest that fits
    std::size_t length = 0;              ///< code points
};

/// Throws std::invalid_argument, which names the byte where it is not UTF-8.
[[nodiscard]] text_size measure_utf8(std::string_view utf8);
/// Writes what was measured as `form`, without a terminator, at `to`.
void decode_utf8(std::string_view utf8, core::form form, std::byte* to) noexcept;
/// Of items as `form` has them. Throws std::bad_alloc.
[[nodiscard]] std::string encode_utf8(core::form form, std::span<const std::byte> characters);

} // namespace isthmus::detail

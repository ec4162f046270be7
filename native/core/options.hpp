/// Sizes the runtime starts with. Read once, from the environment, when the runtime is made.
///
/// | variable               | unit  | default                                             |
/// |------------------------|-------|-----------------------------------------------------|
/// | `ISTHMUS_CAPACITY`     | bytes | 256 GiB of *addresses* per window, power of two     |
/// | `ISTHMUS_WINDOWS`      | count | 128, at most 128                                    |
/// | `ISTHMUS_BUDGET`       | bytes | 1/16 of the machine's memory, 64 MiB to 1 GiB       |
/// | `ISTHMUS_MAPPING_CAP`  | count | 3/8 of `vm.max_map_count`                           |
/// | `ISTHMUS_THRESHOLD`    | bytes | 64 KiB, at least 4 KiB: smaller blocks never enter a slot |
#pragma once

#include <cstddef>

namespace isthmus::core {

inline constexpr std::size_t page_size = 4096;
/// Smallest block of the arena; slots are blocks of `unit << order` bytes.
inline constexpr std::size_t unit_size = 64 * 1024;
inline constexpr unsigned unit_shift = 16;
inline constexpr unsigned max_windows = 128;
/// Bytes between the object base and the payload page boundary (design glossary: object base).
inline constexpr std::size_t header_room = 64;
/// Offset of the object base in its block: the first page of a block is the header page.
inline constexpr std::size_t object_offset = page_size - header_room;

/// No smaller block ever enters a slot, whatever the options say.
inline constexpr std::size_t least_threshold = page_size;

[[nodiscard]] constexpr std::size_t round_to_page(std::size_t size) noexcept {
    return (size + page_size - 1) & ~(page_size - 1);
}

struct options {
    std::size_t capacity = std::size_t{256} << 30;
    unsigned windows = max_windows;
    std::size_t budget = std::size_t{1} << 30;
    std::size_t mapping_cap = 24000;
    std::size_t threshold = 64 * 1024;

    /// Defaults, overridden by the environment. Malformed values are ignored.
    [[nodiscard]] static options from_environment();
};

} // namespace isthmus::core

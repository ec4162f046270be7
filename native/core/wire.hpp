/// How values are written into messages. The common small value is a message of its own; everything else is a
/// parcel.
///
/// | message kind | carries                              | value                                        |
/// |--------------|--------------------------------------|----------------------------------------------|
/// | nothing      |                                      | None                                         |
/// | truth        | 1 byte                               | bool                                         |
/// | integer      | 8 bytes                              | int that fits 64 bits                        |
/// | real         | 8 bytes                              | float                                        |
/// | octets       | up to 48 bytes                       | bytes                                        |
/// | ascii        | up to 48 bytes                       | str of ASCII only                            |
/// | twin         | a share                              | bytes or str at or above the threshold       |
/// | parcel       | a parcel whose data starts with a tag| all else                                     |
///
/// A parcel's data is one value: a `tag`, its operands, and the values inside it, in the order in which they
/// were met. Numbers have native byte order (the data never leaves the process); a count is 1 byte, or 255
/// and 8 bytes. Shares and attachments are taken in the order in which tags ask for them.
///
/// A tag with `remembered` set gives its value the next number, counted from 0; `again` refers to it. Values
/// that can be made empty and filled later (list, set, dict, objects) get their number before what is in them
/// is read, so that it can refer to them; the others (tuple, frozenset, range, slice) once they are whole.
/// One of those that was met again inside itself, and so became whole there first, is a `known_*`.
#pragma once

#include <cstdint>

namespace isthmus::core::wire {

enum class kind : std::uint8_t { nothing, truth, integer, real, octets, ascii, twin, parcel };

enum class tag : std::uint8_t {
    nothing,
    yes,
    no,
    ellipsis,
    not_implemented,
    int8,            ///< 1 byte
    int32,           ///< 4 bytes
    int64,           ///< 8 bytes
    big,             ///< count, then that many bytes, two's complement, little endian
    real,            ///< double
    complex,         ///< two doubles
    octets,          ///< count, bytes
    ascii,           ///< count, characters
    text,            ///< form (1 byte), count, characters
    name,            ///< like text; the str is interned
    bytearray,       ///< count, bytes
    twin,            ///< next share
    attachment,      ///< next attachment: a handle or a view
    again,           ///< count: the number of a value that was remembered
    tuple,           ///< count, that many values
    known_tuple,     ///< the same; then a count: the number of the value that this is
    frozenset,       ///< count, that many values
    known_frozenset, ///< see known_tuple
    range,           ///< 3 values
    slice,           ///< 3 values
    known_slice,     ///< see known_tuple
    list,            ///< count, that many values
    set,             ///< count, that many values
    dict,            ///< count, that many times a key and a value
    global,          ///< two values of type str: module, qualified name
    instance,        ///< count; the class; that many times the name of an attribute and its value
    reduced,         ///< see `part`
    stop             ///< in a `reduced`: no more items
};

/// Bit of a tag byte.
inline constexpr std::uint8_t remembered = 0x80;

/// A `reduced` is what `__reduce_ex__` returns (PEP 307): 1 byte of parts that it has; the callable and the
/// tuple of arguments; `made`, or `known` and a count (the object was met again among its own arguments: it
/// ends there); then the parts.
enum class part : std::uint8_t {
    fresh = 1,  ///< the callable is a class, of which `__new__` is called
    items = 2,  ///< values up to a stop: for `extend`, or `append`
    pairs = 4,  ///< keys and values up to a stop: for `__setitem__`
    setter = 8, ///< a callable that takes object and state
    state = 16  ///< for the setter, `__setstate__` or the attributes
};
enum class after_arguments : std::uint8_t { made, known };

[[nodiscard]] constexpr std::uint8_t operator|(std::uint8_t parts, part p) noexcept {
    return static_cast<std::uint8_t>(parts | static_cast<std::uint8_t>(p));
}
[[nodiscard]] constexpr bool has(std::uint8_t parts, part p) noexcept {
    return (parts & static_cast<std::uint8_t>(p)) != 0;
}

} // namespace isthmus::core::wire

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
/// | parcel       | a parcel whose data starts with a tag| all else, tuples of any depth included       |
///
/// A parcel's data is a sequence of `tag`s, each followed by its operands; counts are 64 bits, native byte
/// order (the data never leaves the process). Shares and attachments are taken in the order in which tags ask
/// for them.
#pragma once

#include <cstdint>

namespace isthmus::crossing {

enum class kind : std::uint8_t { nothing, truth, integer, real, octets, ascii, twin, parcel };

enum class tag : std::uint8_t {
    nothing,
    yes,
    no,
    integer, ///< int64
    big,     ///< count, then that many bytes, two's complement, little endian
    real,    ///< double
    octets,  ///< count, bytes
    text,    ///< form (1 byte), characters, data
    twin,    ///< next share
    tuple,   ///< count, then that many values
    handle,  ///< next attachment: a handle or a view
    pickle,  ///< count of persistent values, count of buffers, the pickle as a value, the persistent values,
             ///< then each buffer: 1 byte read-only flag and a value of type bytes
};

} // namespace isthmus::crossing

/// Memory that is shown where it lies: Python's buffers (PEP 3118), both ways.
///
/// A `memoryview` or `mmap` that Python sends, returns, or gives to a host function arrives as a `buffer`
/// over the same memory; a buffer that a host makes over memory of its own arrives in Python as a
/// `memoryview`. Nothing is copied, at any size, and a writable buffer is written where it lies.
///
/// Threads: as std::shared_ptr: copies share the memory, and may be made, moved and destroyed on any thread,
/// with or without a GIL. Reads and writes of the memory are ordered by nobody but those who make them; that
/// a message was received after it was sent orders what was written before. Lifetimes: pointers and spans are
/// valid while a buffer of it lives, whatever becomes of the interpreter. When the last one is gone, in C++,
/// in Python and on the way, a Python exporter is released in its own interpreter, under its GIL, by its
/// service thread (by this thread, if it is `entered` there); unless that interpreter has closed: then its
/// memory is kept (`views_orphaned`).
#pragma once

#include <isthmus/value.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace isthmus {

/// What an item of that C++ type is in the format strings of the struct module: specialise it for a record of
/// yours, as `template <> inline constexpr const char* isthmus::buffer_format<pixel> = "BBB";`. Null: none.
template <typename T> inline constexpr const char* buffer_format = nullptr;
template <> inline constexpr const char* buffer_format<std::byte> = "B";
template <> inline constexpr const char* buffer_format<char> = "B";
template <> inline constexpr const char* buffer_format<unsigned char> = "B";
template <> inline constexpr const char* buffer_format<signed char> = "b";
template <> inline constexpr const char* buffer_format<bool> = "?";
template <> inline constexpr const char* buffer_format<short> = "h";
template <> inline constexpr const char* buffer_format<unsigned short> = "H";
template <> inline constexpr const char* buffer_format<int> = "i";
template <> inline constexpr const char* buffer_format<unsigned> = "I";
template <> inline constexpr const char* buffer_format<long> = "l";
template <> inline constexpr const char* buffer_format<unsigned long> = "L";
template <> inline constexpr const char* buffer_format<long long> = "q";
template <> inline constexpr const char* buffer_format<unsigned long long> = "Q";
template <> inline constexpr const char* buffer_format<float> = "f";
template <> inline constexpr const char* buffer_format<double> = "d";

namespace detail {
class shown_memory;

/// One that a buffer may consist of.
template <typename T>
concept buffer_item = std::is_trivially_copyable_v<T> && !std::is_volatile_v<T> &&
                      buffer_format<std::remove_const_t<T>> != nullptr;
/// Many of them, in one piece of memory that does not end with the range.
template <typename T>
concept buffer_range = std::ranges::contiguous_range<T> && std::ranges::sized_range<T> &&
    std::ranges::borrowed_range<T> && buffer_item<std::remove_reference_t<std::ranges::range_reference_t<T>>>;
} // namespace detail

/// An object that was moved from may only be assigned to or destroyed.
class [[gnu::visibility("default")]] buffer {
  public:
    /// Several dimensions. Strides are in bytes and point forward; none: C order, without gaps.
    struct geometry {
        std::vector<std::ptrdiff_t> shape;
        std::vector<std::ptrdiff_t> strides = {};
    };

    /// Memory of the host's, one row of items (a vector, an array, a span); read-only to all if they are
    /// const. `keep` lives until the last buffer and the last Python object over it are gone, and ends on the
    /// thread where that happens, which may hold a GIL: its destructor must not wait, nor throw, nor use
    /// Python. Throws std::bad_alloc.
    template <detail::buffer_range Items>
    buffer(Items && items, std::shared_ptr<const void> keep)
        : buffer(items, {{std::ranges::ssize(items)}, {}}, std::move(keep)) {}
    /// The same in several dimensions; the first item is that of index 0, 0, ... Throws std::invalid_argument
    /// if `lies` is no geometry, or reaches beyond `items`, std::bad_alloc.
    template <detail::buffer_range Items>
    buffer(Items && items, geometry lies, std::shared_ptr<const void> keep)
        : buffer(std::as_bytes(std::span(items)), sizeof(std::ranges::range_value_t<Items>),
                 buffer_format<std::ranges::range_value_t<Items>>,
                 std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Items>>>,
                 std::move(lies), std::move(keep)) {}
    /// Items that it takes over.
    template <detail::buffer_item T>
    explicit buffer(std::vector<T> items) : buffer(std::make_shared<std::vector<T>>(std::move(items))) {}
    /// A read-only look at bytes, which Python sees as a `memoryview` of them.
    explicit buffer(const bytes& b) : buffer(b.span(), std::make_shared<const bytes>(b)) {}

    /// Of the first item: that of index 0, 0, ...
    [[nodiscard]] const std::byte* data() const noexcept;
    /// Of all items, in bytes.
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] std::size_t item_size() const noexcept;
    /// Of an item, as the struct module has it.
    [[nodiscard]] std::string_view format() const noexcept;
    /// One number for each dimension, none for a single item; strides are in bytes and may be negative.
    [[nodiscard]] std::span<const std::ptrdiff_t> shape() const noexcept;
    [[nodiscard]] std::span<const std::ptrdiff_t> strides() const noexcept;
    [[nodiscard]] bool read_only() const noexcept;
    /// Whether the items lie in C order without gaps, so that spans can be had.
    [[nodiscard]] bool contiguous() const noexcept;

    /// All of it. Throws type_error if it is not contiguous.
    [[nodiscard]] std::span<const std::byte> span() const {
        return items<const std::byte>();
    }
    /// All items, in C order: `items<const float>()`; `items<float>()` may be written. Any format will do for
    /// std::byte. Throws type_error: they are of another type, not contiguous, not aligned, read-only.
    template <detail::buffer_item T> [[nodiscard]] std::span<T> items() const {
        using item = std::remove_const_t<T>;
        std::byte* const at = checked(std::same_as<item, std::byte> ? nullptr : buffer_format<item>,
                                      sizeof(T), alignof(T), !std::is_const_v<T>);
        return {reinterpret_cast<T*>(at), size() / sizeof(T)};
    }

    /// Whether both begin at the same byte of memory, seen from here or from any interpreter; false if one is
    /// empty.
    [[nodiscard]] bool same_memory(const buffer& other) const noexcept;

  private:
    friend struct conversion<buffer>;
    template <typename T> explicit buffer(std::shared_ptr<std::vector<T>> owned) : buffer(*owned, owned) {}
    buffer(std::span<const std::byte> memory, std::size_t item_size, const char* format, bool read_only,
           geometry lies, std::shared_ptr<const void> keep);
    explicit buffer(std::shared_ptr<const detail::shown_memory> held) noexcept : held_(std::move(held)) {}
    /// `format` null: any. Throws type_error.
    [[nodiscard]] std::byte* checked(const char* format, std::size_t size, std::size_t alignment,
                                     bool writable) const;

    std::shared_ptr<const detail::shown_memory> held_;
};

template <> struct [[gnu::visibility("default")]] conversion<buffer> {
    static value to(const buffer& v);
    static buffer from(const value& v);
};

} // namespace isthmus

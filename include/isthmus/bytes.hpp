/// Immutable bytes and text that cross without a copy. What is moved from is empty.
///
/// From 64 KiB on (ISTHMUS_THRESHOLD) their memory lies in the process's shared memory: an interpreter that
/// receives them gets a real `bytes` or `str` over the same physical pages, and what it sends back arrives
/// here over the same pages. Smaller ones, and all of them where the machine refuses shared memory, are
/// copied.
///
/// Threads: a `bytes` or `text` may be copied, moved and destroyed on any thread, with or without a GIL; two
/// threads may read the same object at once, as with std::shared_ptr. No GIL is needed, and none is taken.
/// Lifetimes: spans and views are valid while the object, or any copy of it, lives, whatever becomes of the
/// interpreter that made it. Copies take constant time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace isthmus {

namespace detail {
struct payload;
struct access;

/// A pointer or a number that is zero in what was moved from.
template <typename T> struct until_moved {
    T value{};

    until_moved() noexcept = default;
    until_moved(const until_moved&) noexcept = default;
    until_moved& operator=(const until_moved&) noexcept = default;
    until_moved(until_moved&& other) noexcept : value(std::exchange(other.value, T{})) {}
    until_moved& operator=(until_moved&& other) noexcept {
        value = std::exchange(other.value, T{});
        return *this;
    }
    ~until_moved() = default;
};
} // namespace detail

class [[gnu::visibility("default")]] bytes {
  public:
    /// Empty. Allocates nothing.
    bytes() noexcept = default;
    /// One copy of the data. Throws std::bad_alloc.
    explicit bytes(std::span<const std::byte> data);
    explicit bytes(std::string_view data);

    [[nodiscard]] const std::byte* data() const noexcept {
        return data_.value;
    }
    [[nodiscard]] std::size_t size() const noexcept {
        return size_.value;
    }
    [[nodiscard]] bool empty() const noexcept {
        return size_.value == 0;
    }
    [[nodiscard]] std::span<const std::byte> span() const noexcept {
        return {data_.value, size_.value};
    }
    [[nodiscard]] std::string_view view() const noexcept {
        return {reinterpret_cast<const char*>(data_.value), size_.value};
    }
    operator std::span<const std::byte>() const noexcept {
        return span();
    }

    /// Whether it lies in shared memory, and so crosses without a copy.
    [[nodiscard]] bool shared() const noexcept;
    /// Whether both are the same physical memory, here or in any interpreter.
    [[nodiscard]] bool same_memory(const bytes& other) const noexcept;

    /// Compares what is in them.
    [[nodiscard]] friend bool operator==(const bytes& a, const bytes& b) noexcept {
        return a.view() == b.view();
    }

  private:
    friend detail::access;
    std::shared_ptr<const detail::payload> held_;
    detail::until_moved<const std::byte*> data_;
    detail::until_moved<std::size_t> size_;
};

/// Bytes that are being written: allocate, fill through the span, publish. One thread at a time.
class [[gnu::visibility("default")]] bytes_builder {
  public:
    /// Room for `size` bytes, not initialised: what was there before may be seen. Throws std::bad_alloc.
    explicit bytes_builder(std::size_t size);
    bytes_builder(bytes_builder &&) noexcept;
    bytes_builder& operator=(bytes_builder&&) noexcept;
    ~bytes_builder();

    [[nodiscard]] std::span<std::byte> span() noexcept {
        return {data_, size_};
    }
    [[nodiscard]] std::byte* data() noexcept {
        return data_;
    }
    [[nodiscard]] std::size_t size() const noexcept {
        return size_;
    }
    /// Fewer bytes than there was room for: a read that got less. std::invalid_argument if more.
    void truncate(std::size_t size);

    /// The bytes; the builder is empty afterwards, and nobody may write to its span any more. Takes constant
    /// time, unless it was truncated below the size from which memory is shared: then it is copied once.
    [[nodiscard]] bytes publish()&&;

  private:
    std::unique_ptr<detail::payload> held_;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Text: a Python `str`. Stored as CPython stores it (PEP 393), so that it crosses without a copy.
class [[gnu::visibility("default")]] text {
  public:
    text() noexcept = default;
    /// From UTF-8. Lone surrogates in the form of the codec "surrogatepass" are accepted, as Python's `str`
    /// may hold them. Throws std::invalid_argument if it is not UTF-8, std::bad_alloc.
    explicit text(std::string_view utf8);

    /// Code points.
    [[nodiscard]] std::size_t length() const noexcept {
        return length_.value;
    }
    [[nodiscard]] bool empty() const noexcept {
        return length_.value == 0;
    }
    /// As UTF-8, copied; lone surrogates as "surrogatepass" has them.
    [[nodiscard]] std::string str() const;
    [[nodiscard]] bool is_ascii() const noexcept;
    /// Of ASCII text, without a copy. Throws type_error if it is not ASCII.
    [[nodiscard]] std::string_view ascii() const;

    [[nodiscard]] bool shared() const noexcept;
    [[nodiscard]] bool same_memory(const text& other) const noexcept;
    /// Compares the code points.
    [[nodiscard]] friend bool operator==(const text& a, const text& b) noexcept {
        return a.equals(b);
    }

  private:
    friend detail::access;
    [[nodiscard]] bool equals(const text& other) const noexcept;

    std::shared_ptr<const detail::payload> held_;
    detail::until_moved<const std::byte*> data_;
    detail::until_moved<std::size_t> length_;
};

} // namespace isthmus

/// Bytes that are only added to. Unlike std::vector, what is added is not zeroed before it is written.
///
/// Thread rules: belongs to one thread at a time, as the parcel it is part of.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace isthmus::core {

class byte_buffer {
  public:
    byte_buffer() noexcept = default;
    byte_buffer(byte_buffer&& other) noexcept
        : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    byte_buffer& operator=(byte_buffer&& other) noexcept {
        bytes_ = std::move(other.bytes_);
        size_ = std::exchange(other.size_, 0);
        capacity_ = std::exchange(other.capacity_, 0);
        return *this;
    }
    byte_buffer(const byte_buffer&) = delete;
    byte_buffer& operator=(const byte_buffer&) = delete;
    ~byte_buffer() = default;

    /// Room for `count` more bytes, unwritten, valid until the next call. Throws std::bad_alloc, nothing
    /// changed.
    [[nodiscard]] std::byte* extend(std::size_t count) {
        if (count > capacity_ - size_) [[unlikely]] {
            grow(count);
        }
        std::byte* const place = bytes_.get() + size_;
        size_ += count;
        return place;
    }
    void append(const void* data, std::size_t count) {
        if (count != 0) { // memcpy takes no null, not even for nothing
            std::memcpy(extend(count), data, count);
        }
    }
    void clear() noexcept { size_ = 0; }

    [[nodiscard]] std::byte* data() noexcept { return bytes_.get(); }
    [[nodiscard]] const std::byte* data() const noexcept { return bytes_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

  private:
    struct release {
        void operator()(std::byte* bytes) const noexcept { std::free(bytes); }
    };

    [[gnu::noinline, gnu::cold]] void grow(std::size_t count) {
        constexpr std::size_t smallest = 256;
        if (count > static_cast<std::size_t>(-1) / 4 - size_) {
            throw std::bad_alloc();
        }
        const std::size_t wanted = size_ + count;
        const std::size_t next = capacity_ + capacity_ / 2;
        const std::size_t room = wanted > next ? (wanted < smallest ? smallest : wanted) : next;
        void* const moved = std::realloc(bytes_.get(), room);
        if (moved == nullptr) {
            throw std::bad_alloc();
        }
        static_cast<void>(bytes_.release());
        bytes_.reset(static_cast<std::byte*>(moved));
        capacity_ = room;
    }

    std::unique_ptr<std::byte, release> bytes_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace isthmus::core

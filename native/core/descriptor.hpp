/// A file descriptor on its way between interpreters.
///
/// The sender duplicates its own when it encodes; the copy belongs to whoever holds the `descriptor`, in the
/// end to the message. It is closed when that is dropped without having been received, whatever the way.
#pragma once

#include "core/message.hpp"

#include <memory>
#include <utility>

namespace isthmus::core {

/// Owns one number of this process's descriptor table, or none (-1). Any thread, no GIL; one at a time.
class descriptor {
  public:
    descriptor() noexcept = default;
    /// Takes it over; negative: none.
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        descriptor(std::move(other)).swap(*this);
        return *this;
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor();

    /// A duplicate of `number`, closed on exec. It shares the position and the status flags (O_NONBLOCK) with
    /// the original, as dup has it. Throws std::system_error: EBADF, EMFILE.
    [[nodiscard]] static descriptor duplicate_of(int number);

    [[nodiscard]] int number() const noexcept { return number_; }
    /// Hands the number over: the caller closes it from now on.
    [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
    void swap(descriptor& other) noexcept { std::swap(number_, other.number_); }

  private:
    int number_ = -1;
};

/// Shared with the sender's object, which lives until encoding is done.
struct travelling_descriptor final : attachment {
    explicit travelling_descriptor(std::shared_ptr<descriptor> d) noexcept : held(std::move(d)) {}
    std::shared_ptr<descriptor> held;
};

} // namespace isthmus::core

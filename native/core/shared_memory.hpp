/// Mutable memory that belongs to no interpreter: what a SharedBuffer shows in each of them.
///
/// A block is zeroed and page aligned; pages come to be when they are first touched. It is freed when the
/// last reference goes: those of objects, of messages in flight, and of views of it. A forked child has a
/// private copy.
///
/// Thread rules: any thread, with or without a GIL. One lock, a leaf, is taken when a block is made, looked
/// up or freed.
#pragma once

#include "core/message.hpp"
#include "core/registry.hpp"

#include <cstddef>
#include <memory>

namespace isthmus::core {

class shared_memory {
  public:
    /// Throws std::bad_alloc if the system or a limit of the process refuses.
    [[nodiscard]] static std::shared_ptr<shared_memory> create(std::size_t size);
    /// The block that the byte at `address` lies in; null if in none.
    [[nodiscard]] static std::shared_ptr<shared_memory> containing(const void* address) noexcept;

    shared_memory(const shared_memory&) = delete;
    shared_memory& operator=(const shared_memory&) = delete;
    ~shared_memory();

    /// Never null, also if there is not a single byte.
    [[nodiscard]] std::byte* data() noexcept { return mapped_ != 0 ? data_ : &nothing_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

  private:
    explicit shared_memory(std::size_t size) noexcept;

    const std::size_t size_;
    std::byte* data_ = nullptr;
    std::size_t mapped_ = 0; ///< bytes from `data_` on, whole pages
    std::byte nothing_{};
};

/// An object's reference to a block. Its interpreter's record lists it, because an interpreter may end
/// without freeing its objects.
class memory_hold {
  public:
    /// Under the GIL of `by`, like the destructor.
    memory_hold(interpreter_ref by, std::shared_ptr<shared_memory> what) noexcept;
    memory_hold(const memory_hold&) = delete;
    memory_hold& operator=(const memory_hold&) = delete;
    ~memory_hold();

    [[nodiscard]] const std::shared_ptr<shared_memory>& what() const noexcept { return what_; }

    /// `gone` frees nothing any more: ends all that it held. Once.
    static void settle(interpreter& gone) noexcept;

  private:
    const interpreter_ref by_;
    const std::shared_ptr<shared_memory> what_;
    memory_hold* next_;
    memory_hold* previous_ = nullptr;
};

/// A block inside a message.
struct travelling_memory final : attachment {
    travelling_memory(std::shared_ptr<shared_memory> memory, char fmt) noexcept
        : what(std::move(memory)), format(fmt) {}
    [[nodiscard]] std::unique_ptr<attachment> again() const override {
        return std::make_unique<travelling_memory>(what, format);
    }
    const std::shared_ptr<shared_memory> what;
    const char format; ///< of the AtomicView; 0: the SharedBuffer itself
};

} // namespace isthmus::core

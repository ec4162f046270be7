/// Queues (PEP 734) from C++: the same ones that Python's `create_queue` makes. Threads as for channels.
#pragma once

#include <isthmus/channel.hpp>

namespace isthmus {

class [[gnu::visibility("default")]] queue {
  public:
    /// `maxsize`: 0 without limit. Throws std::bad_alloc.
    explicit queue(std::size_t maxsize = 0);

    [[nodiscard]] std::uint64_t id() const noexcept;
    [[nodiscard]] std::size_t maxsize() const noexcept;
    /// How many items lie there; may have changed when it returns.
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] bool full() const noexcept;

    /// Throws timeout_error (QueueFull), closed_error once it is shut down, not_shareable_error,
    /// std::bad_alloc.
    void put(const value& item, patience timeout = std::nullopt);
    /// False: it is full.
    bool put_nowait(const value& item);
    /// Throws timeout_error (QueueEmpty), closed_error once it is shut down and empty. An item whose
    /// interpreter ended before arrives as None where Python gets UNBOUND; as an interpreter_error where
    /// Python gets ItemInterpreterDestroyed.
    [[nodiscard]] value get(patience timeout = std::nullopt);
    template <typename T> [[nodiscard]] T get(patience timeout = std::nullopt) {
        return get(timeout).template as<T>();
    }
    [[nodiscard]] std::optional<value> get_nowait();

    /// No more puts; gets until it is empty, or, if `immediate`, none. Idempotent.
    void shutdown(bool immediate = false);
    /// As channel_handle::fileno, for `get`.
    [[nodiscard]] int fileno() const;
    [[nodiscard]] bool operator==(const queue& other) const noexcept;

  private:
    friend detail::access;
    explicit queue(std::shared_ptr<const detail::queue_end> end) noexcept : end_(std::move(end)) {}
    std::shared_ptr<const detail::queue_end> end_;
};

template <> struct [[gnu::visibility("default")]] conversion<queue> {
    static value to(const queue& v);
    static queue from(const value& v);
};

} // namespace isthmus

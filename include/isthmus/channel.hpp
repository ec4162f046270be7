/// Channels (PEP 554) from C++: the same ones that Python's `create_channel` makes, with the same rules.
///
/// Who sends or receives is the *host*: all C++ threads of the process together are one party beside the
/// interpreters. Its first send or receive associates it with that end; `close` ends that for the whole host.
/// When the last C++ object of an end is gone, the association is dropped, as in Python.
///
/// Threads: any, any number at once; a wait spins briefly and then sleeps. A thread that holds a GIL (inside
/// `isthmus::entered`, or Python code that called into the host) lets go of it while it waits. Ctrl-C does
/// not end a wait; a signal handler of the host's may close the channel from another thread. Objects may be
/// copied (another object of the same end), moved, and destroyed on any thread.
#pragma once

#include <isthmus/value.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace isthmus {

/// How long to wait: monotonic clock; nullopt for ever; zero or less: only if it needs no waiting.
using patience = std::optional<std::chrono::nanoseconds>;

namespace detail {
class channel_end;
class queue_end;
struct access;
} // namespace detail

/// Of one channel, counted since it was made.
struct channel_statistics {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t dropped = 0; ///< because nobody could receive them any more
    std::size_t buffered = 0;
    std::uint32_t waiting_receivers = 0;
    std::uint32_t waiting_senders = 0;
};

/// What both ends have in common. An object that was moved from may only be assigned to or destroyed.
class [[gnu::visibility("default")]] channel_handle {
  public:
    [[nodiscard]] std::uint64_t id() const noexcept;
    /// The host uses this end no more; it ends the host's waits on it with released_error. True the first
    /// time.
    bool close();
    /// Nobody can send or receive any more, and nothing is left.
    [[nodiscard]] bool is_closed() const noexcept;
    /// Ends everybody's use, current waits included, with that reason; what is buffered is dropped. Throws
    /// closed_error, released_error, poisoned_error if the host can't use the end.
    void poison(std::string_view reason);
    [[nodiscard]] channel_statistics statistics() const noexcept;
    /// A descriptor that is readable while the end would not block, its end by close included: for poll,
    /// epoll, event loops. It stays isthmus's, and is valid while an object of this end lives. Throws
    /// released_error, std::system_error.
    [[nodiscard]] int fileno() const;
    [[nodiscard]] bool operator==(const channel_handle& other) const noexcept;

  protected:
    channel_handle() noexcept = default;
    explicit channel_handle(std::shared_ptr<const detail::channel_end> end) noexcept : end_(std::move(end)) {}

    friend detail::access;
    std::shared_ptr<const detail::channel_end> end_;
};

class [[gnu::visibility("default")]] send_channel : public channel_handle {
  public:
    /// At capacity 0 returns when the value was received, else when it was buffered. Throws timeout_error (it
    /// was not received then), closed_error, released_error, poisoned_error, not_shareable_error,
    /// std::bad_alloc.
    void send(const value& what, patience timeout = std::nullopt);
    /// False: it would have to wait.
    bool send_nowait(const value& what);
    /// All of them, in order, with fewer locks and wake-ups. Throws as send; those before the one that failed
    /// were sent.
    void send_many(std::span<const value> what, patience timeout = std::nullopt);
    /// The same of any range, which is read as it is sent.
    template <std::ranges::input_range Items>
    requires(!std::convertible_to<Items, std::span<const value>> &&
             std::constructible_from<value, std::ranges::range_reference_t<Items>>) void
    send_many(Items && items, patience timeout = std::nullopt) {
        const auto began = std::chrono::steady_clock::now();
        const auto left = [&]() -> patience {
            return timeout ? patience(*timeout - (std::chrono::steady_clock::now() - began)) : timeout;
        };
        std::vector<value> batch;
        for (auto&& each : items) {
            batch.emplace_back(std::forward<decltype(each)>(each));
            if (batch.size() == most_at_once) {
                send_many(std::span<const value>(batch), left());
                batch.clear();
            }
        }
        send_many(std::span<const value>(batch), left());
    }

  private:
    friend detail::access;
    using channel_handle::channel_handle;
    static constexpr std::size_t most_at_once = 64;
};

class [[gnu::visibility("default")]] recv_channel : public channel_handle {
  public:
    /// Throws timeout_error, closed_error (nothing will come any more), released_error, poisoned_error;
    /// std::bad_alloc, which loses the value.
    [[nodiscard]] value recv(patience timeout = std::nullopt);
    /// As a T; a type_error loses the value.
    template <typename T> [[nodiscard]] T recv(patience timeout = std::nullopt) {
        return recv(timeout).template as<T>();
    }
    /// Nothing: it would have to wait.
    [[nodiscard]] std::optional<value> recv_nowait();
    /// Waits for one, then takes what else is there, `most` at most. Throws as recv; std::invalid_argument if
    /// `most` is 0; std::bad_alloc, which loses what was received.
    [[nodiscard]] std::vector<value> recv_many(std::size_t most, patience timeout = std::nullopt);

    /// `for (const value& each : channel)`: until the senders are gone.
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using difference_type = std::ptrdiff_t;
        using value_type = value;

        iterator() noexcept = default;
        explicit iterator(recv_channel& from) : from_(&from) { ++*this; }
        [[nodiscard]] const value& operator*() const noexcept { return *now_; }
        iterator& operator++() {
            now_ = from_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return !now_; }

      private:
        recv_channel* from_ = nullptr;
        std::optional<value> now_;
    };
    [[nodiscard]] iterator begin() {
        return iterator(*this);
    }
    [[nodiscard]] static std::default_sentinel_t end() noexcept {
        return {};
    }

  private:
    friend detail::access;
    using channel_handle::channel_handle;
    /// Nothing: the senders are gone.
    [[nodiscard]] std::optional<value> next();
};

/// `capacity`: 0 is a rendezvous, nullopt without limit. Throws std::bad_alloc.
[[nodiscard, gnu::visibility("default")]] std::pair<recv_channel, send_channel>
create_channel(std::optional<std::size_t> capacity = 0);

template <> struct [[gnu::visibility("default")]] conversion<send_channel> {
    static value to(const send_channel& v);
    static send_channel from(const value& v);
};
template <> struct [[gnu::visibility("default")]] conversion<recv_channel> {
    static value to(const recv_channel& v);
    static recv_channel from(const value& v);
};

} // namespace isthmus

/// One wait for several channels and queues. Threads as for channels.
#pragma once

#include <isthmus/channel.hpp>
#include <isthmus/closed_event.hpp>
#include <isthmus/queue.hpp>

#include <initializer_list>

namespace isthmus {

/// Receive from a channel, get from a queue, the end of an interpreter, or send something on a channel.
class [[gnu::visibility("default")]] select_case {
  public:
    select_case(const recv_channel& from) : on_(from) {}
    select_case(const queue& from) : on_(from) {}
    select_case(const closed_event& of) : on_(of) {}
    select_case(const send_channel& to, value what) : on_(to), what_(std::move(what)) {}

  private:
    friend detail::access;
    std::variant<recv_channel, queue, closed_event, send_channel> on_;
    value what_;
};

struct selected {
    std::size_t index; ///< of the case that happened
    value received;    ///< None for a send, or an end
};

/// Exactly one case happens: the first that is ready, fairly. Throws timeout_error; closed_error,
/// released_error, poisoned_error of a case that can't go on; not_shareable_error; std::bad_alloc. No cases:
/// waits until the time is over; std::invalid_argument if that is never.
[[nodiscard, gnu::visibility("default")]] selected select(std::span<const select_case> cases,
                                                          patience timeout = std::nullopt);
[[nodiscard]] inline selected select(std::initializer_list<select_case> cases,
                                     patience timeout = std::nullopt) {
    return select(std::span(cases.begin(), cases.size()), timeout);
}

} // namespace isthmus

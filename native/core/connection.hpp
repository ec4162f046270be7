/// One process that looks at this one: its requests and our answers, as far as each has got.
///
/// Belongs to the inspector's thread. Never blocks: what can't be read or written now waits for poll().
#pragma once

#include "core/futex.hpp"
#include "core/meeting_place.hpp"

#include <array>
#include <cstddef>
#include <poll.h>
#include <string>
#include <string_view>

namespace isthmus::core {

class connection {
  public:
    /// Takes over a connected, non-blocking socket; who was connected before loses his.
    void begin(int accepted) noexcept;
    void end() noexcept;
    /// In a forked child, whatever the thread was doing with the rest.
    void close_in_child() noexcept { socket_.close(); }

    [[nodiscard]] bool is_open() const noexcept { return socket_.number >= 0; }
    /// When it last asked for something.
    [[nodiscard]] futex::nanoseconds last_heard() const noexcept { return last_heard_; }
    [[nodiscard]] pollfd wants() const noexcept;

    /// Reads, answers and writes what it can without waiting. False: it is over, end() it.
    [[nodiscard]] bool go_on() noexcept;

  private:
    static constexpr std::size_t longest_request = 256; ///< bytes, the newline included

    [[nodiscard]] bool read_some() noexcept;
    [[nodiscard]] bool write_some() noexcept;
    /// False: no whole request has come yet, or the connection is over.
    [[nodiscard]] bool answer_one();
    [[nodiscard]] bool is_writing() const noexcept { return written_ < output_.size(); }

    marked_descriptor socket_;
    futex::nanoseconds last_heard_ = 0;
    std::array<char, longest_request> input_{};
    std::size_t filled_ = 0;
    bool input_ended_ = false; ///< it asks for nothing more
    bool over_ = false;        ///< nothing more is answered
    std::string output_;
    std::size_t written_ = 0;
};

} // namespace isthmus::core

#include "core/connection.hpp"

#include "core/inspector.hpp"
#include "core/json_writer.hpp"
#include "core/snapshot.hpp"

#include <algorithm>
#include <cerrno>
#include <new>
#include <sys/socket.h>

namespace isthmus::core {
namespace {

constexpr std::string_view ask_for_snapshot = "snapshot 1";

std::string complaint(std::string_view what) {
    json_writer out;
    out.begin_object().field("isthmus", inspector::wire_version).key("kind").text("error");
    return out.key("message").text(what).end_object().take();
}

} // namespace

void connection::begin(int accepted) noexcept {
    end();
    socket_ = marked_descriptor::mark(accepted);
    last_heard_ = futex::now();
}

void connection::end() noexcept {
    socket_.close();
    filled_ = written_ = 0;
    input_ended_ = over_ = false;
    std::string().swap(output_); // a snapshot may be large
}

pollfd connection::wants() const noexcept {
    const short events = is_writing() ? POLLOUT : POLLIN;
    return {socket_.number, events, 0};
}

bool connection::go_on() noexcept {
    if (!socket_.is_still_ours()) {
        return false;
    }
    try {
        if (!is_writing() && !read_some()) {
            return false;
        }
        do {
            if (!write_some()) {
                return false;
            }
        } while (!is_writing() && !over_ && answer_one());
    } catch (const std::bad_alloc&) {
        return false; // it may connect again when there is memory
    }
    return is_writing() || !(over_ || input_ended_);
}

bool connection::read_some() noexcept {
    const ssize_t got = recv(socket_.number, input_.data() + filled_, input_.size() - filled_, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    input_ended_ = got == 0;
    filled_ += static_cast<std::size_t>(got);
    last_heard_ = futex::now();
    return true;
}

bool connection::write_some() noexcept {
    while (is_writing()) {
        const ssize_t put = send(socket_.number, output_.data() + written_, output_.size() - written_,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        written_ += static_cast<std::size_t>(put);
    }
    std::string().swap(output_);
    written_ = 0;
    return true;
}

bool connection::answer_one() {
    const auto begin = input_.begin();
    const auto past = begin + static_cast<std::ptrdiff_t>(filled_);
    const auto newline = std::find(begin, past, '\n');
    if (newline == past) {
        if (filled_ < input_.size()) {
            return false;
        }
        over_ = true; // where its next request begins can't be known
        output_ = complaint("the request is too long");
        output_ += '\n';
        return true;
    }
    const std::string_view request(begin, newline);
    output_ = request == ask_for_snapshot ? snapshot::take().to_json()
                                          : complaint("unknown request; this one is known: snapshot 1");
    output_ += '\n';
    filled_ = static_cast<std::size_t>(std::copy(newline + 1, past, begin) - begin);
    return true;
}

} // namespace isthmus::core

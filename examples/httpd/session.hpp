/// One connection: reads requests, has them handled, writes the answers, one after the other.
#pragma once

#include "server.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include <list>
#include <memory>
#include <optional>

namespace httpd {

/// Lives in its own coroutine's frame, which `io` resumes on its one thread.
class session {
  public:
    session(server& of, boost::asio::ip::tcp::socket socket);
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session();

    /// To the end of the connection.
    static boost::asio::awaitable<void> run(std::unique_ptr<session> self);

    /// Ends the connection if it is between two requests; else the current one is its last.
    void stop();
    /// The same for another one's sake: false if it has not had a request yet.
    bool give_way();

  private:
    template <typename T> using awaitable = boost::asio::awaitable<T>;
    struct incoming;

    awaitable<bool> serve_one();
    awaitable<unsigned> receive(incoming& in);
    awaitable<unsigned> receive_sized(incoming& in, std::size_t length);
    awaitable<unsigned> receive_chunks(incoming& in);
    awaitable<reply> handled(request asked);
    awaitable<bool> answer(const incoming& in, reply given);
    awaitable<void> linger();
    void allow(std::size_t bytes);

    server& server_;
    std::list<session*>::iterator place_;
    boost::beast::tcp_stream stream_;
    boost::beast::flat_buffer buffer_; ///< headers, and what came with them
    bool idle_ = false;                ///< nothing of a next request has been read
    bool served_ = false;              ///< a request was answered
};

} // namespace httpd

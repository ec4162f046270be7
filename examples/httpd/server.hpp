/// The network side: accepts connections, and knows those that live, to end them. One thread runs all of it.
#pragma once

#include "handlers.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>

namespace httpd {

/// Where the header is read to. What of a body comes with it is copied out of here, the rest is not.
inline constexpr std::size_t header_room = 4096;

class session;

struct server_options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0; ///< 0: any
    std::size_t max_body = 256U << 20U;
    std::size_t max_header = 16U << 10U;
    std::size_t max_waiting = 1024; ///< requests for which there is no worker yet
    std::size_t max_connections = 1024;
    std::chrono::milliseconds patience{30'000}; ///< with a client: for a header, and between requests
    std::size_t slowest = 64U << 10U; ///< bytes a second, for bodies, which have that much time more
};

class server {
  public:
    /// Listens; serves when `io` runs. Throws boost::system::system_error.
    server(boost::asio::io_context& io, handlers& with, server_options options);

    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    /// No more connections and requests; those requests that were received are answered. Then `io` runs out
    /// of work.
    void stop();

  private:
    friend class session;

    void accept();
    void begin(boost::asio::ip::tcp::socket socket);
    /// A session is no more.
    void ended();
    /// Somebody waits for a place: who has one keeps it for the request that he is at.
    [[nodiscard]] bool crowded() const { return next_.has_value(); }

    boost::asio::io_context& io_;
    handlers& handlers_;
    const server_options options_;
    boost::asio::steady_timer again_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::list<session*> sessions_; ///< of those between two requests, who is it for longest comes first
    /// Accepted when there were as many sessions as may be; until there is a place for it no other is.
    std::optional<boost::asio::ip::tcp::socket> next_;
    std::size_t under_way_ = 0; ///< requests given to `handlers_`
    bool stopping_ = false;
};

} // namespace httpd

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
    std::size_t max_waiting = 1024;    ///< requests for which there is no worker yet
    std::chrono::seconds patience{30}; ///< with a client: for a header, and between requests
    std::size_t slowest = 64U << 10U;  ///< bytes a second, for bodies, which have that much time more
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

    boost::asio::io_context& io_;
    handlers& handlers_;
    const server_options options_;
    boost::asio::steady_timer again_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::list<session*> sessions_;
    std::size_t under_way_ = 0; ///< requests given to `handlers_`
    bool stopping_ = false;
};

} // namespace httpd

#include "server.hpp"

#include "session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <memory>
#include <utility>

namespace httpd {
namespace net = boost::asio;
using net::ip::tcp;

server::server(net::io_context& io, handlers& with, server_options options)
    : io_(io), handlers_(with), options_(std::move(options)), again_(io),
      acceptor_(io, tcp::endpoint(net::ip::make_address(options_.host), options_.port)) {
    accept();
}

void server::accept() {
    acceptor_.async_accept([this](boost::system::error_code failed, tcp::socket socket) {
        if (stopping_) {
            return;
        }
        if (failed) { // out of descriptors, say: later there may be some
            again_.expires_after(std::chrono::milliseconds(100));
            again_.async_wait([this](boost::system::error_code cancelled) {
                if (!cancelled) {
                    accept();
                }
            });
        } else if (sessions_.size() < options_.max_connections) {
            begin(std::move(socket));
            accept();
        } else {
            next_ = std::move(socket);
            for (session* const each : sessions_) {
                if (each->give_way()) {
                    break;
                }
            }
        }
    });
}

void server::begin(tcp::socket socket) {
    auto made = std::make_unique<session>(*this, std::move(socket));
    net::co_spawn(io_, session::run(std::move(made)), net::detached);
}

void server::ended() {
    if (next_ && !stopping_) {
        tcp::socket socket = std::move(*next_);
        next_.reset();
        begin(std::move(socket));
        accept();
    }
}

void server::stop() {
    stopping_ = true;
    acceptor_.close();
    again_.cancel();
    next_.reset();
    for (session* const each : sessions_) {
        each->stop();
    }
}

} // namespace httpd

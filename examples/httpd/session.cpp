#include "session.hpp"

#include "messages.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <new>

namespace httpd {
namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using error_code = boost::system::error_code;

namespace {

constexpr std::size_t piece = 64U << 10U; ///< in which chunked bodies are read, and what is thrown away
constexpr std::chrono::seconds farewell{2};

auto into(error_code& failed) {
    return net::redirect_error(net::use_awaitable, failed);
}

/// What to answer to a request that could not be read.
unsigned status_of(error_code why) {
    if (why == http::error::header_limit || why == http::error::buffer_overflow) {
        return 431;
    }
    if (why == http::error::body_limit) {
        return 413;
    }
    if (why == http::error::end_of_stream || why == http::error::partial_message) {
        return gone;
    }
    return why.category() == make_error_code(http::error::bad_method).category() ? 400 : gone;
}

} // namespace

struct session::incoming {
    explicit incoming(const server_options& limits) {
        parser.header_limit(static_cast<std::uint32_t>(limits.max_header));
        parser.body_limit(limits.max_body);
    }
    [[nodiscard]] bool is_head() const { return parser.get().method() == http::verb::head; }

    http::request_parser<http::buffer_body> parser; ///< of the header, and of chunks
    isthmus::bytes body;
    bool keep_alive = false;
};

session::session(server& of, net::ip::tcp::socket socket)
    : server_(of), place_(of.sessions_.insert(of.sessions_.end(), this)), stream_(std::move(socket)),
      buffer_(std::max(piece, of.options_.max_header)) {
    error_code ignored; // a connection that is gone already
    stream_.socket().set_option(net::ip::tcp::no_delay(true), ignored);
}

session::~session() {
    server_.sessions_.erase(place_);
}

void session::stop() {
    if (idle_ && buffer_.size() == 0) {
        stream_.cancel();
    }
}

bool session::give_way() {
    const bool between = served_ && idle_ && buffer_.size() == 0;
    if (between) {
        stream_.cancel();
    }
    return between;
}

net::awaitable<void> session::run(std::unique_ptr<session> self) {
    server& of = self->server_;
    try {
        while (co_await self->serve_one()) {
        }
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "httpd: a connection ended: %s\n", failure.what());
    }
    self.reset();
    of.ended();
}

/// False: the connection ends.
net::awaitable<bool> session::serve_one() {
    incoming in(server_.options_);
    const unsigned problem = co_await receive(in);
    if (problem == 0) {
        request asked = request_of(in.parser.get());
        asked.body = std::move(in.body);
        reply given = co_await handled(std::move(asked));
        in.keep_alive = in.parser.keep_alive() && !server_.stopping_ && !server_.crowded();
        served_ = true;
        co_return co_await answer(in, std::move(given));
    }
    if (problem != gone) {
        co_await answer(in, plain(problem));
        co_await linger();
    }
    co_return false;
}

/// 0, or the status that refuses the request, or `gone`.
net::awaitable<unsigned> session::receive(incoming& in) {
    error_code failed;
    if (served_ && buffer_.size() == 0) {
        if (server_.crowded()) {
            co_return gone;
        }
        server_.sessions_.splice(server_.sessions_.end(), server_.sessions_, place_);
    }
    buffer_.reserve(header_room);
    allow(0);
    idle_ = true;
    co_await http::async_read_header(stream_, buffer_, in.parser, into(failed));
    idle_ = false;
    if (failed) {
        co_return status_of(failed);
    }
    if (in.parser.is_done()) {
        co_return 0;
    }
    if (beast::iequals(in.parser.get()[http::field::expect], "100-continue")) {
        co_await net::async_write(stream_, net::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25), into(failed));
    }
    if (in.parser.chunked()) {
        co_return co_await receive_chunks(in);
    }
    const auto length = in.parser.content_length();
    co_return length ? co_await receive_sized(in, static_cast<std::size_t>(*length)) : 400;
}

/// From the socket into the memory that the handler's `bytes` will have.
net::awaitable<unsigned> session::receive_sized(incoming& in, std::size_t length) {
    isthmus::bytes_builder room(length);
    const std::size_t early = net::buffer_copy(net::buffer(room.data(), length), buffer_.data());
    buffer_.consume(early);
    const net::mutable_buffer rest(room.data() + early, length - early);
    const auto all = [&](error_code failed, std::size_t so_far) {
        return failed ? 0 : rest.size() - so_far; // at once, not in asio's pieces of 64 KiB
    };
    error_code failed;
    allow(length);
    co_await net::async_read(stream_, rest, all, into(failed));
    in.body = std::move(room).publish();
    co_return failed ? gone : 0;
}

/// Copied: how long it will be is not known, and chunks lie between other bytes.
net::awaitable<unsigned> session::receive_chunks(incoming& in) {
    std::string whole;
    buffer_.reserve(piece);
    while (!in.parser.is_done()) {
        const std::size_t had = whole.size();
        whole.resize(had + piece);
        auto& room = in.parser.get().body();
        room.data = whole.data() + had;
        room.size = piece;
        error_code failed;
        allow(piece);
        co_await http::async_read(stream_, buffer_, in.parser, into(failed));
        if (failed && failed != http::error::need_buffer) {
            co_return status_of(failed);
        }
        whole.resize(had + piece - room.size);
    }
    in.body = isthmus::bytes(whole);
    co_return 0;
}

/// The handler's reply, or what says why there is none.
net::awaitable<reply> session::handled(request asked) {
    const std::size_t room = server_.handlers_.workers() + server_.options_.max_waiting;
    if (server_.under_way_ >= room) {
        co_return plain(503);
    }
    const std::string what = asked.method + " " + asked.target;
    const auto initiate = [this](auto completion, request given) {
        const auto shared = std::make_shared<decltype(completion)>(std::move(completion));
        const auto work = net::make_work_guard(stream_.get_executor()); // `io` waits for the handler
        const auto done = [shared, work](std::exception_ptr why, reply made) {
            net::post(work.get_executor(), [shared, why, made = std::move(made)]() mutable {
                auto resume = std::move(*shared); // dies on this thread, with what it holds
                resume(why, std::move(made));
            });
        };
        try {
            server_.handlers_.submit(std::move(given), done);
        } catch (const std::exception&) {
            done(std::current_exception(), {});
        }
    };
    net::use_awaitable_t<> token;
    ++server_.under_way_;
    reply given;
    try {
        given = co_await net::async_initiate<net::use_awaitable_t<>, void(std::exception_ptr, reply)>(
            initiate, token, std::move(asked));
        check(given);
    } catch (...) {
        given = failure(what, std::current_exception());
    }
    --server_.under_way_;
    co_return given;
}

/// From the memory of the handler's `bytes` to the socket. False: the connection ends.
net::awaitable<bool> session::answer(const incoming& in, reply given) {
    http::response<http::span_body<const char>> out(static_cast<http::status>(given.status), 11);
    for (const auto& [name, text] : given.headers) {
        out.insert(name, text);
    }
    out.erase(http::field::transfer_encoding);
    out.erase(http::field::content_length);
    if (given.status != 204 && given.status != 304) {
        out.content_length(given.body.size());
        if (!in.is_head()) {
            out.body() = {given.body.view().data(), given.body.size()};
        }
    }
    out.version(in.parser.get().version() == 10 ? 10 : 11);
    out.keep_alive(in.keep_alive);
    error_code failed;
    allow(given.body.size());
    http::serializer<false, http::span_body<const char>> serializer(out);
    co_await http::async_write(stream_, serializer, into(failed));
    co_return !failed && in.keep_alive;
}

/// Lets the client read the answer though it sends more than was read: to close at once would reset the
/// connection.
net::awaitable<void> session::linger() {
    error_code failed;
    stream_.socket().shutdown(net::socket_base::shutdown_send, failed);
    stream_.expires_after(farewell);
    std::array<char, 4096> thrown_away;
    while (!failed) {
        co_await stream_.async_read_some(net::buffer(thrown_away), into(failed));
    }
}

/// The time for what comes next; then the connection is closed.
void session::allow(std::size_t bytes) {
    const server_options& limits = server_.options_;
    stream_.expires_after(limits.patience + std::chrono::seconds(bytes / limits.slowest));
}

} // namespace httpd

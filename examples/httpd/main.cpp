/// httpd HANDLER.py: an HTTP server whose handlers are Python, in isolated interpreters. See README.md.
#include "server.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

namespace {
namespace net = boost::asio;

struct command_line {
    httpd::handler_options handlers;
    httpd::server_options server;
    std::string python;
    double limit = 0;
    double patience = 30;
};

/// Throws CLI::ParseError.
command_line parse(int argc, char** argv) {
    command_line given;
    std::string gil = "own";
    CLI::App app("Serves HTTP with a Python file's handle(method, target, headers, body).");
    app.add_option("handler", given.handlers.file, "the Python file")->required()->check(CLI::ExistingFile);
    app.add_option("--host", given.server.host, "address to listen at (127.0.0.1)");
    app.add_option("--port", given.server.port, "0: any, which is printed");
    app.add_option("--workers", given.handlers.workers, "interpreters (0: one for each CPU)");
    app.add_option("--gil", gil, "own; or shared: the interpreters run in turn, to compare")
        ->check(CLI::IsMember({"own", "shared"}));
    app.add_option("--max-body", given.server.max_body, "bytes, or as in 64MiB")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--max-waiting", given.server.max_waiting, "requests that wait for a worker, then 503");
    app.add_option("--max-connections", given.server.max_connections,
                   "at a time; one more waits, and idle ones are closed for it")
        ->check(CLI::PositiveNumber);
    app.add_option("--client-timeout", given.patience, "seconds a client has for a header, or between two")
        ->check(CLI::Range(0.001, 1e6));
    app.add_option("--slowest", given.server.slowest, "bytes a second of a body; or as in 64KiB")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::PositiveNumber);
    app.add_option("--handler-timeout", given.limit, "seconds, then 504 (0: none)")
        ->check(CLI::Range(0.0, 1e6));
    app.add_option("--python", given.python, "the Python whose packages are used: a venv's bin/python");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& wrong) {
        std::exit(app.exit(wrong) == 0 ? 0 : 2);
    }
    given.server.patience =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(given.patience));
    given.handlers.shared_gil = gil == "shared";
    if (given.limit > 0) {
        given.handlers.limit =
            std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(given.limit));
    }
    return given;
}

/// SIGHUP reads the handler again, SIGTERM and SIGINT end the server: once; a second one kills it.
class signals {
  public:
    signals(net::io_context& io, httpd::handlers& handlers, httpd::server& server)
        : hang_up_(io, SIGHUP), end_(io, SIGTERM, SIGINT), handlers_(handlers), server_(server) {
        await_hang_up();
        end_.async_wait([this](boost::system::error_code, int) {
            end_.clear();
            hang_up_.cancel();
            server_.stop();
        });
    }

    /// Not before this do reloads leave the handlers alone.
    void finish() { reloader_.join(); }

  private:
    void await_hang_up() {
        hang_up_.async_wait([this](boost::system::error_code cancelled, int) {
            if (!cancelled) {
                net::post(reloader_, [this] { reload(); });
                await_hang_up();
            }
        });
    }
    void reload() {
        try {
            handlers_.reload();
            std::fprintf(stderr, "httpd: reloaded\n");
        } catch (const isthmus::python_error& wrong) {
            std::fprintf(stderr, "httpd: not reloaded:\n%s\n", wrong.traceback().c_str());
        } catch (const std::exception& wrong) {
            std::fprintf(stderr, "httpd: not reloaded: %s\n", wrong.what());
        }
    }

    net::signal_set hang_up_;
    net::signal_set end_;
    net::thread_pool reloader_{1}; ///< reloads wait for handlers; the network must not
    httpd::handlers& handlers_;
    httpd::server& server_;
};

void serve(const command_line& given) {
    const isthmus::runtime runtime = isthmus::runtime::start({.program = given.python});
    httpd::handlers handlers(given.handlers);
    {
        net::io_context io(1);
        httpd::server server(io, handlers, given.server);
        signals control(io, handlers, server);
        std::printf("http://%s:%u\n", given.server.host.c_str(), unsigned{server.port()});
        std::fflush(stdout);
        io.run(); // until it is told to end, and has answered what it had
        control.finish();
    }
    handlers.finish();
    const auto copied =
        isthmus::interpreter::main().eval("__import__('isthmus').stats().payload_bytes_copied");
    std::printf("payload bytes copied: %lld\n", copied.as<long long>());
}

} // namespace

int main(int argc, char** argv) {
    try {
        serve(parse(argc, argv));
        return 0;
    } catch (const isthmus::python_error& wrong) {
        std::fprintf(stderr, "httpd: %s\n", wrong.traceback().c_str());
    } catch (const std::exception& wrong) {
        std::fprintf(stderr, "httpd: %s\n", wrong.what());
    }
    return 1;
}

/// The Python side of the server: one handler file, loaded into N isolated interpreters.
#pragma once

#include <isthmus/python.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace httpd {

using headers = std::vector<std::pair<std::string, std::string>>;

struct request {
    std::string method;
    std::string target;
    httpd::headers headers;
    isthmus::bytes body;
};

struct reply {
    unsigned status = 200;
    httpd::headers headers;
    isthmus::bytes body; ///< what the handler returned: the same memory
};

struct handler_options {
    std::filesystem::path file;
    std::size_t workers = 0;                       ///< 0: as many as the process may use CPUs
    std::optional<std::chrono::nanoseconds> limit; ///< of a handler's call
    bool shared_gil = false;                       ///< all in turn: what `workers` threads of one Python do
};

/// Any thread.
class handlers {
  public:
    /// Throws std::system_error: the file can't be read; isthmus::python_error: it fails.
    explicit handlers(handler_options options);

    /// Calls the handler. `done` is called once, on a thread of the workers, with the reply or why there is
    /// none: isthmus::python_error, isthmus::timeout_error, isthmus::error.
    void submit(request asked, std::function<void(std::exception_ptr, reply)> done);

    /// Reads the file again, and puts a new interpreter in the place of each. Throws as the constructor; then
    /// the old handler goes on. Blocks until the calls that run have ended.
    void reload();

    /// Waits for what runs and what waits.
    void finish() { pool_.shutdown(); }

    [[nodiscard]] std::size_t workers() const noexcept { return pool_.workers(); }

  private:
    const handler_options options_;
    std::mutex one_at_a_time_; ///< reloads
    isthmus::executor pool_;
};

} // namespace httpd

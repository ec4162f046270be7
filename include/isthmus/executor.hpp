/// Runs calls in several interpreters, each on a thread of its own.
#pragma once

#include <isthmus/interpreter.hpp>

#include <cstddef>
#include <future>
#include <memory>
#include <string_view>
#include <vector>

namespace isthmus {

/// `workers` interpreters, each with a thread; calls wait in one line and go to whoever is free. Any thread.
class [[gnu::visibility("default")]] executor {
  public:
    /// `setup` runs in each new interpreter. `workers` 0: as many as the process may use CPUs. Throws as
    /// interpreter's constructor and run.
    explicit executor(std::size_t workers = 0, std::string_view setup = {}, const interpreter_options& options = {});
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;
    /// shutdown(false).
    ~executor();

    [[nodiscard]] std::size_t workers() const noexcept;

    /// As interpreter::call. The future throws what it would; interpreter_error after a shutdown that cancelled
    /// it. Throws interpreter_error if it is shut down.
    template <typename... T> [[nodiscard]] std::future<value> submit(std::string_view name, const T&... arguments) {
        return submit_with(name, args(arguments...));
    }
    [[nodiscard]] std::future<value> submit_with(std::string_view name, std::vector<value> arguments);

    /// Puts a new interpreter in the place of each one, once the call that runs there has ended: new code, with no
    /// call lost and none failing. What is submitted afterwards runs in new ones. Returns when all are replaced.
    void reload(std::string_view setup);

    /// No more calls; waits for those that run, and for those that wait unless `cancel`. Idempotent.
    void shutdown(bool cancel = false);

  private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace isthmus

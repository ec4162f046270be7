/// Runs calls in several interpreters, each on a thread of its own.
#pragma once

#include <isthmus/interpreter.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
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
    explicit executor(std::size_t workers = 0, std::string_view setup = {},
                      const interpreter_options& options = {});
    /// While no other thread uses either. What was moved from may only be assigned to or destroyed.
    executor(executor &&) noexcept;
    /// shutdown(false) of what was here before.
    executor& operator=(executor&& other) noexcept;
    /// shutdown(false).
    ~executor();

    [[nodiscard]] std::size_t workers() const noexcept;

    /// As interpreter::call. The future throws what it would; interpreter_error after a shutdown that
    /// cancelled it. Throws interpreter_error if it is shut down.
    template <typename... T>
    [[nodiscard]] std::future<value> submit(std::string_view name, const T&... arguments) {
        return submit_with(name, args(arguments...));
    }
    [[nodiscard]] std::future<value> submit_with(std::string_view name, std::vector<value> arguments);

    /// Takes a future that is ready.
    using completion = std::function<void(std::future<value>)>;
    /// As submit, for event loops: nobody waits. `done` gets what submit's future would hold, once, on a
    /// thread of the executor's (that of the one who cancels, if a shutdown cancels the call), without a
    /// GIL. It must not throw, and should hand over and return: the worker does nothing else meanwhile.
    ///
    /// `limit`: how long the call may run, not counting its wait. When it is over, `done` gets a
    /// timeout_error at once, and KeyboardInterrupt is raised in the call, again after each further `limit`
    /// in case it was caught. The worker is free when the call has ended: code in C finishes first.
    void submit_then(std::string_view name, std::vector<value> arguments, completion done,
                     std::optional<std::chrono::nanoseconds> limit = std::nullopt);

    /// Puts a new interpreter in the place of each one, once the call that runs there has ended: new code,
    /// with no call lost and none failing. What is submitted afterwards runs in new ones. Returns when all
    /// are replaced.
    void reload(std::string_view setup);

    /// No more calls; waits for those that run, and for those that wait unless `cancel`. Idempotent.
    void shutdown(bool cancel = false);

  private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace isthmus

#include <isthmus/executor.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <sched.h>
#include <thread>

namespace isthmus {
namespace {

struct task {
    std::string name;
    std::vector<value> arguments;
    std::promise<value> promise;
};

std::size_t usable_cpus() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<std::size_t>(CPU_COUNT(&set)) : 1;
}

interpreter furnished(const interpreter_options& options, const std::string& setup) {
    interpreter made(options);
    if (!setup.empty()) {
        made.run(setup, "<setup>");
    }
    return made;
}

} // namespace

struct executor::inside {
    explicit inside(interpreter_options how) : options(std::move(how)) {}

    void work(std::size_t which);
    [[nodiscard]] bool next(std::size_t which, task& taken);

    const interpreter_options options;
    std::mutex lock; ///< guards all below; never held while Python runs
    std::condition_variable changed;
    std::deque<task> waiting;
    bool closed = false;
    std::vector<std::unique_ptr<interpreter>> fresh; ///< by worker: what takes the place of its interpreter
    std::size_t replacing = 0;                       ///< of these, not taken yet
    std::vector<interpreter> interpreters;           ///< each its worker's alone
    std::vector<std::thread> threads;
};

/// False: it is closed, and nothing waits.
bool executor::inside::next(std::size_t which, task& taken) {
    std::unique_lock guard(lock);
    for (;;) {
        changed.wait(guard, [&] { return closed || !waiting.empty() || fresh[which] != nullptr; });
        if (fresh[which] == nullptr) {
            break;
        }
        std::unique_ptr<interpreter> other = std::move(fresh[which]);
        std::swap(interpreters[which], *other);
        --replacing;
        guard.unlock();
        changed.notify_all();
        other.reset(); // closes the former one
        guard.lock();
    }
    if (waiting.empty()) {
        return false;
    }
    taken = std::move(waiting.front());
    waiting.pop_front();
    return true;
}

void executor::inside::work(std::size_t which) {
    for (task now; next(which, now);) {
        try {
            now.promise.set_value(interpreters[which].call_with(now.name, std::move(now.arguments)));
        } catch (const std::exception&) {
            now.promise.set_exception(std::current_exception());
        }
    }
}

executor::executor(std::size_t workers, std::string_view setup, const interpreter_options& options)
    : inside_(std::make_unique<inside>(options)) {
    const std::size_t count = workers != 0 ? workers : usable_cpus();
    inside_->fresh.resize(count);
    inside_->threads.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        inside_->interpreters.push_back(furnished(options, std::string(setup)));
    }
    try {
        for (std::size_t i = 0; i < count; ++i) {
            inside_->threads.emplace_back([all = inside_.get(), i] { all->work(i); });
        }
    } catch (...) {
        shutdown();
        throw;
    }
}

executor::~executor() {
    shutdown();
}

std::size_t executor::workers() const noexcept {
    return inside_->interpreters.size();
}

std::future<value> executor::submit_with(std::string_view name, std::vector<value> arguments) {
    task made{std::string(name), std::move(arguments), {}};
    std::future<value> future = made.promise.get_future();
    {
        const std::lock_guard guard(inside_->lock);
        if (inside_->closed) {
            throw interpreter_error("this isthmus::executor is shut down");
        }
        inside_->waiting.push_back(std::move(made));
    }
    inside_->changed.notify_all();
    return future;
}

void executor::reload(std::string_view setup) {
    std::vector<std::unique_ptr<interpreter>> fresh;
    for (std::size_t i = 0; i < workers(); ++i) {
        fresh.push_back(std::make_unique<interpreter>(furnished(inside_->options, std::string(setup))));
    }
    std::unique_lock guard(inside_->lock);
    // One reload at a time: the last one wins.
    inside_->changed.wait(guard, [&] { return inside_->closed || inside_->replacing == 0; });
    if (inside_->closed) {
        throw interpreter_error("this isthmus::executor is shut down");
    }
    inside_->fresh = std::move(fresh);
    inside_->replacing = inside_->fresh.size();
    inside_->changed.notify_all();
    inside_->changed.wait(guard, [&] { return inside_->replacing == 0; });
}

void executor::shutdown(bool cancel) {
    std::deque<task> dropped;
    {
        const std::lock_guard guard(inside_->lock);
        inside_->closed = true;
        if (cancel) {
            dropped.swap(inside_->waiting);
        }
    }
    inside_->changed.notify_all();
    for (task& each : dropped) {
        each.promise.set_exception(std::make_exception_ptr(
            interpreter_error("this isthmus::executor was shut down before the call")));
    }
    for (std::thread& each : inside_->threads) {
        if (each.joinable()) {
            each.join();
        }
    }
    inside_->threads.clear();
    inside_->interpreters.clear();
}

} // namespace isthmus

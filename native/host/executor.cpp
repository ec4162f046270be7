#include <isthmus/executor.hpp>

#include "core/spinning.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <sched.h>
#include <thread>
#include <utility>

namespace isthmus {
namespace {

using clock = std::chrono::steady_clock;

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
    struct task {
        std::string name;
        std::vector<value> arguments;
        executor::completion done;
        std::optional<std::chrono::nanoseconds> limit;
        bool told = false; ///< somebody has called `done`, or will; guarded by the executor's lock

        /// By the one who set `told`, holding no lock.
        void tell(std::future<value> outcome) const noexcept { done(std::move(outcome)); }
        void tell(std::exception_ptr why) const noexcept {
            std::promise<value> failed;
            failed.set_exception(std::move(why));
            tell(failed.get_future());
        }
    };

    /// What a worker is at.
    struct work_under_way {
        std::shared_ptr<task> what;
        clock::time_point due = clock::time_point::max(); ///< when it is interrupted
    };

    explicit inside(interpreter_options how) : options(std::move(how)) {}

    void work(std::size_t which);
    void look_out() noexcept;
    [[nodiscard]] std::shared_ptr<task> next(std::size_t which);
    void begin(std::size_t which, const std::shared_ptr<task>& what);
    [[nodiscard]] bool end(std::size_t which);
    void watch();
    [[nodiscard]] std::vector<std::shared_ptr<task>> interrupt_overdue();
    void submit(std::shared_ptr<task> made);

    const interpreter_options options;
    std::mutex lock; ///< guards all below; never held while Python runs
    std::condition_variable changed;
    std::deque<std::shared_ptr<task>> waiting;
    std::atomic<bool> some_wait{false}; ///< of these; a hint for who does not hold the lock
    core::spin_budget looking_out;
    bool closed = false;
    std::vector<std::unique_ptr<interpreter>> fresh; ///< by worker: what takes the place of its interpreter
    std::size_t replacing = 0;                       ///< of these, not taken yet
    std::vector<interpreter> interpreters;           ///< each its worker's alone, but to be interrupted
    std::vector<work_under_way> under_way;           ///< by worker
    std::vector<std::thread> threads;

    std::thread watchman; ///< interrupts calls that run too long; started with the first limit
    std::condition_variable sooner;
    clock::time_point asleep_until = clock::time_point::max(); ///< the watchman
    bool watch_ends = false;
};

/// A worker, before it sleeps: to fall asleep and be woken takes longer than many a call.
void executor::inside::look_out() noexcept {
    const auto found = [this] { return some_wait.load(std::memory_order_relaxed); };
    if (found()) {
        return;
    }
    if (core::spinning::spin(std::nullopt, looking_out.get(), found, [] { return false; })) {
        looking_out.paid();
    } else {
        looking_out.wasted();
    }
}

/// Null: it is closed, and nothing waits.
std::shared_ptr<executor::inside::task> executor::inside::next(std::size_t which) {
    look_out();
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
        return nullptr;
    }
    std::shared_ptr<task> taken = std::move(waiting.front());
    waiting.pop_front();
    some_wait.store(!waiting.empty(), std::memory_order_relaxed);
    begin(which, taken);
    return taken;
}

/// With the lock held.
void executor::inside::begin(std::size_t which, const std::shared_ptr<task>& what) {
    const clock::time_point due = what->limit ? clock::now() + *what->limit : clock::time_point::max();
    under_way[which] = {what, due};
    if (due < asleep_until) {
        sooner.notify_one();
    }
}

/// False: the call was given up, and its outcome told. An interruption of it can't hit a later one: it is
/// aimed with the lock held, while the call is under way.
bool executor::inside::end(std::size_t which) {
    const std::lock_guard guard(lock);
    const std::shared_ptr<task> ended = std::exchange(under_way[which], {}).what;
    return !std::exchange(ended->told, true);
}

void executor::inside::work(std::size_t which) {
    while (const std::shared_ptr<task> now = next(which)) {
        std::promise<value> promise;
        try {
            promise.set_value(interpreters[which].call_with(now->name, now->arguments));
        } catch (const std::exception&) {
            promise.set_exception(std::current_exception());
        }
        if (end(which)) {
            now->tell(promise.get_future());
        }
    }
}

void executor::inside::watch() {
    std::unique_lock guard(lock);
    while (!watch_ends) {
        const std::vector<std::shared_ptr<task>> given_up = interrupt_overdue();
        if (!given_up.empty()) {
            guard.unlock();
            for (const std::shared_ptr<task>& each : given_up) {
                each->tell(std::make_exception_ptr(timeout_error("the call ran for longer than its limit")));
            }
            guard.lock();
            continue;
        }
        if (asleep_until == clock::time_point::max()) {
            sooner.wait(guard);
        } else {
            sooner.wait_until(guard, asleep_until);
        }
    }
}

/// With the lock held. Who has to be told of it.
std::vector<std::shared_ptr<executor::inside::task>> executor::inside::interrupt_overdue() {
    std::vector<std::shared_ptr<task>> given_up;
    const clock::time_point now = clock::now();
    asleep_until = clock::time_point::max();
    for (std::size_t i = 0; i < under_way.size(); ++i) {
        work_under_way& each = under_way[i];
        if (each.due <= now) {
            each.due = now + *each.what->limit;
            if (!std::exchange(each.what->told, true)) {
                given_up.push_back(each.what);
            }
            try {
                interpreters[i].interrupt();
            } catch (const std::exception&) { // no thread or memory for it now; tried again when it is due
            }
        }
        asleep_until = std::min(asleep_until, each.due);
    }
    return given_up;
}

void executor::inside::submit(std::shared_ptr<task> made) {
    {
        const std::lock_guard guard(lock);
        if (closed) {
            throw interpreter_error("this isthmus::executor is shut down");
        }
        if (made->limit && !watchman.joinable()) {
            watchman = std::thread([this] { watch(); });
        }
        waiting.push_back(std::move(made));
        some_wait.store(true, std::memory_order_relaxed);
    }
    changed.notify_all();
}

executor::executor(std::size_t workers, std::string_view setup, const interpreter_options& options)
    : inside_(std::make_unique<inside>(options)) {
    const std::size_t count = workers != 0 ? workers : usable_cpus();
    inside_->fresh.resize(count);
    inside_->under_way.resize(count);
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

executor::executor(executor&&) noexcept = default;

executor& executor::operator=(executor&& other) noexcept {
    executor former(std::move(*this));
    inside_ = std::move(other.inside_);
    return *this;
}

executor::~executor() {
    if (inside_ != nullptr) {
        shutdown();
    }
}

std::size_t executor::workers() const noexcept {
    return inside_->interpreters.size();
}

std::future<value> executor::submit_with(std::string_view name, std::vector<value> arguments) {
    const auto promise = std::make_shared<std::promise<value>>();
    std::future<value> future = promise->get_future();
    submit_then(name, std::move(arguments), [promise](std::future<value> outcome) {
        try {
            promise->set_value(outcome.get());
        } catch (const std::exception&) {
            promise->set_exception(std::current_exception());
        }
    });
    return future;
}

void executor::submit_then(std::string_view name, std::vector<value> arguments, completion done,
                           std::optional<std::chrono::nanoseconds> limit) {
    if (limit && *limit <= std::chrono::nanoseconds::zero()) {
        throw std::invalid_argument("a call's limit must be more than nothing");
    }
    inside_->submit(std::make_shared<inside::task>(
        inside::task{std::string(name), std::move(arguments), std::move(done), limit}));
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
    std::deque<std::shared_ptr<inside::task>> dropped;
    {
        const std::lock_guard guard(inside_->lock);
        inside_->closed = true;
        if (cancel) {
            dropped.swap(inside_->waiting);
            inside_->some_wait.store(false, std::memory_order_relaxed);
        }
    }
    inside_->changed.notify_all();
    for (const std::shared_ptr<inside::task>& each : dropped) {
        each->tell(std::make_exception_ptr(
            interpreter_error("this isthmus::executor was shut down before the call")));
    }
    for (std::thread& each : inside_->threads) {
        if (each.joinable()) {
            each.join();
        }
    }
    inside_->threads.clear();
    if (inside_->watchman.joinable()) { // to the end of the last call that may need it
        {
            const std::lock_guard guard(inside_->lock);
            inside_->watch_ends = true;
        }
        inside_->sooner.notify_one();
        inside_->watchman.join();
    }
    inside_->interpreters.clear();
}

} // namespace isthmus

#include "core/inspector.hpp"

#include "core/connection.hpp"
#include "core/ended_thread.hpp"
#include "core/immortal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace isthmus::core {
namespace {

/// The thread also wakes without a reason: users close descriptors by the range, and then nothing else would
/// tell it. Milliseconds.
constexpr int longest_sleep = 1'000;
/// How long nobody is let in once descriptors have run out.
constexpr int short_of_descriptors = 100;

/// Whether the other end is a process of the user that this one belongs to.
bool is_own_user(int connected) noexcept {
    ucred other = {};
    socklen_t length = sizeof other;
    return getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &other, &length) == 0 && other.uid == geteuid();
}

} // namespace

/// What the thread works on. Descriptors change under `table_` only.
struct inspector::connections {
    explicit connections(marked_descriptor l) noexcept : listener(l) {}

    /// Places up to the last one that is taken.
    [[nodiscard]] std::size_t used() const noexcept {
        const auto last = std::find_if(places.rbegin(), places.rend(),
                                       [](const connection& each) { return each.is_open(); });
        return static_cast<std::size_t>(places.rend() - last);
    }
    [[nodiscard]] connection& free_place() noexcept {
        return *std::ranges::min_element(places, {}, [](const connection& each) {
            return each.is_open() ? each.last_heard() : futex::nanoseconds{-1};
        });
    }
    /// False: no descriptor was left for somebody who asked.
    bool accept_all() {
        for (std::size_t n = 0; n < most_clients; ++n) {
            const int accepted = accept4(listener.number, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (accepted < 0) {
                return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
            }
            if (is_own_user(accepted)) {
                free_place().begin(accepted);
            } else {
                close(accepted);
            }
        }
        return true;
    }
    void close_all() noexcept {
        listener.close();
        for (connection& each : places) {
            each.end();
        }
    }

    marked_descriptor listener;
    std::array<connection, most_clients> places;
};

inspector& the_inspector() noexcept {
    return immortal<inspector>();
}

std::string inspector::start() {
    const std::lock_guard guard(life_);
    if (to_join_ && all_->listener.is_still_ours()) {
        return place_.path;
    }
    stop_under_life(); // somebody closed the listener
    register_once();
    place_ = meeting_place::open();
    try {
        all_ = std::make_unique<connections>(place_.listener);
        begin_thread();
    } catch (...) {
        place_.vanish();
        place_.listener.close();
        all_.reset();
        throw;
    }
    return place_.path;
}

void inspector::begin_thread() {
    stopping_.store(false, std::memory_order_relaxed);
    // Signals belong to the threads of the program.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&thread_, nullptr, &inspector::body, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) {
        throw place_error(error, place_.path, "no thread could be started to serve it");
    }
    to_join_ = true;
    process_ = getpid();
}

void inspector::stop() noexcept {
    const std::lock_guard guard(life_);
    // A child that came about without the handlers of fork() must not take its parent's socket away.
    if (process_ == getpid()) {
        stop_under_life();
    }
}

void inspector::stop_under_life() noexcept {
    if (!to_join_) {
        return;
    }
    place_.vanish();
    stopping_.store(true, std::memory_order_release);
    if (all_->listener.is_still_ours()) {
        shutdown(all_->listener.number, SHUT_RDWR); // wakes the thread
    }
    pthread_join(thread_, nullptr);
    wait_until_uncounted(kernel_id_.load(std::memory_order_relaxed));
    to_join_ = false;
    all_->close_all();
    all_.reset();
}

std::string inspector::path() {
    const std::lock_guard guard(life_);
    return to_join_ && all_->listener.is_still_ours() ? place_.path : std::string{};
}

void* inspector::body(void* self) {
    auto& mine = *static_cast<inspector*>(self);
    mine.kernel_id_.store(static_cast<int>(syscall(SYS_gettid)), std::memory_order_relaxed);
    pthread_setname_np(pthread_self(), "isthmus-inspect");
    mine.serve(*mine.all_);
    return nullptr;
}

void inspector::serve(connections& all) noexcept {
    bool short_of_them = false;
    while (!stopping_.load(std::memory_order_acquire) && all.listener.is_still_ours()) {
        std::array<pollfd, 1 + most_clients> asked;
        asked[0] = {short_of_them ? -1 : all.listener.number, POLLIN, 0};
        // No more than need be: poll() refuses more of them than the process may have descriptors.
        const std::size_t used = all.used();
        std::transform(all.places.begin(), all.places.begin() + static_cast<std::ptrdiff_t>(used),
                       asked.begin() + 1, [](const connection& each) { return each.wants(); });
        const int woken = poll(asked.data(), 1 + used, short_of_them ? short_of_descriptors : longest_sleep);
        short_of_them = false;
        if (woken < 0) {
            poll(nullptr, 0, short_of_descriptors); // nobody tells when what it lacks is there again
        }
        if (stopping_.load(std::memory_order_acquire) || woken < 0) {
            continue;
        }
        for (std::size_t i = 0; i < used; ++i) {
            if (asked[i + 1].revents != 0 && !all.places[i].go_on()) {
                const std::lock_guard guard(table_);
                all.places[i].end();
            }
        }
        if ((asked[0].revents & POLLIN) != 0 && all.listener.is_still_ours()) {
            const std::lock_guard guard(table_);
            short_of_them = !all.accept_all();
        }
    }
}

// --- exit and fork

void inspector::register_once() {
    [[maybe_unused]] static const bool registered = [] {
        std::atexit([] { the_inspector().stop(); });
        const int error = pthread_atfork(
            [] {
                the_inspector().life_.lock();
                the_inspector().table_.lock();
            },
            [] {
                the_inspector().table_.unlock();
                the_inspector().life_.unlock();
            },
            [] {
                the_inspector().after_fork_in_child();
                the_inspector().table_.unlock();
                the_inspector().life_.unlock();
            });
        if (error != 0) {
            throw std::bad_alloc{}; // the only reason there is; a later call tries again
        }
        return true;
    }();
}

void inspector::after_fork_in_child() noexcept {
    if (!to_join_) {
        return;
    }
    // The thread was in the middle of something: of what it worked on only the descriptors are looked at, and
    // the rest stays where it is.
    connections* const abandoned = all_.release();
    abandoned->listener.close();
    for (connection& each : abandoned->places) {
        each.close_in_child();
    }
    to_join_ = false;
    process_ = 0;
}

} // namespace isthmus::core

/// Lets other processes of the same user look at this one: a thread that answers on a Unix socket with
/// snapshots, in lines of JSON (docs/inspection.md). Off until somebody asks for it.
///
/// The thread knows no Python and needs no GIL, so it answers while every interpreter is busy. It takes the
/// locks that a snapshot takes, and none of ours at the same time. All signals are blocked in it. One request
/// is answered at a time, in bounded time; a client that says or reads nothing costs a table entry, no more.
///
/// In a forked child there is no thread and the descriptors are closed; the parent goes on as before.
#pragma once

#include "core/meeting_place.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <string>

namespace isthmus::core {

class inspector {
  public:
    static constexpr int wire_version = 1;
    /// Who comes when so many are connected takes the place of the one that was silent for longest.
    static constexpr std::size_t most_clients = 32;

    /// Starts to serve, unless it does already. Returns the socket's path. Throws place_error (also when no
    /// thread could be made), std::bad_alloc. Any thread; no GIL, since stop() may be waited for.
    std::string start();
    /// The socket is gone and the thread has ended when this returns. Idempotent; any thread, no GIL needed,
    /// but not within a snapshot. Also runs at exit().
    void stop() noexcept;
    /// The socket's path; empty: it does not serve. Waits for a start() or stop() under way.
    [[nodiscard]] std::string path();

  private:
    struct connections;

    static void* body(void* self);
    void serve(connections& all) noexcept;
    void stop_under_life() noexcept;
    void begin_thread();
    static void register_once();
    void after_fork_in_child() noexcept;

    std::mutex life_; ///< start and stop, one at a time
    std::mutex
        table_; ///< taken after life_, for the moments in which the thread opens and closes descriptors
    meeting_place place_;              ///< life_
    std::unique_ptr<connections> all_; ///< the thread's while it runs
    std::atomic<bool> stopping_{false};
    bool to_join_ = false; ///< life_: a thread was made and not joined
    pthread_t thread_{};
    std::atomic<int> kernel_id_{0};
    pid_t process_ = 0; ///< the one that serves
};

/// The one of the process. Never destroyed.
[[nodiscard]] inspector& the_inspector() noexcept;

} // namespace isthmus::core

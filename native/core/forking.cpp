#include "core/forking.hpp"

#include "core/channel.hpp"
#include "core/cycles.hpp"
#include "core/death_notice.hpp"
#include "core/queue.hpp"

#include <atomic>
#include <pthread.h>

namespace isthmus::core {
namespace {

void before_fork() noexcept {
    party::all().lock();
    channel::all().lock();
    queue::all().lock();
    death_notice::all().lock();
    channel::all().for_each_under_lock([](conduit& each) { each.lock_all(); });
    queue::all().for_each_under_lock([](conduit& each) { each.lock_all(); });
    death_notice::all().for_each_under_lock([](conduit& each) { each.lock_all(); });
    lock_suspicion();
}

void unlock_everything() noexcept {
    unlock_suspicion();
    death_notice::all().for_each_under_lock([](conduit& each) { each.unlock_all(); });
    queue::all().for_each_under_lock([](conduit& each) { each.unlock_all(); });
    channel::all().for_each_under_lock([](conduit& each) { each.unlock_all(); });
    death_notice::all().unlock();
    queue::all().unlock();
    channel::all().unlock();
    party::all().unlock();
}

constinit std::atomic<std::uint32_t> fork_count{0};

void in_child() noexcept {
    fork_count.fetch_add(1, std::memory_order_relaxed);
    spinning::forget_other_threads();
    party::all().for_each_under_lock([](party& each) { each.forget_waits(); });
    channel::all().for_each_under_lock([](conduit& each) { each.forget_other_threads(); });
    queue::all().for_each_under_lock([](conduit& each) { each.forget_other_threads(); });
    death_notice::all().for_each_under_lock([](conduit& each) { each.forget_other_threads(); });
    forget_collector();
    unlock_everything();
}

} // namespace

std::uint32_t forks() noexcept {
    return fork_count.load(std::memory_order_relaxed);
}

void survive_forks() noexcept {
    // Without memory for three pointers: forks are what they were, which most programs never find out.
    [[maybe_unused]] static const int registered = pthread_atfork(before_fork, unlock_everything, in_child);
}

} // namespace isthmus::core

#include "core/forking.hpp"

#include "core/channel.hpp"
#include "core/cycles.hpp"
#include "core/queue.hpp"

#include <pthread.h>

namespace isthmus::core {
namespace {

void before_fork() noexcept {
    party::all().lock();
    channel::all().lock();
    queue::all().lock();
    channel::all().for_each_under_lock([](conduit& each) { each.lock_all(); });
    queue::all().for_each_under_lock([](conduit& each) { each.lock_all(); });
    lock_suspicion();
}

void unlock_everything() noexcept {
    unlock_suspicion();
    queue::all().for_each_under_lock([](conduit& each) { each.unlock_all(); });
    channel::all().for_each_under_lock([](conduit& each) { each.unlock_all(); });
    queue::all().unlock();
    channel::all().unlock();
    party::all().unlock();
}

void in_child() noexcept {
    waiter::forget_other_threads();
    party::all().for_each_under_lock([](party& each) { each.forget_waits(); });
    channel::all().for_each_under_lock([](conduit& each) { each.forget_other_threads(); });
    queue::all().for_each_under_lock([](conduit& each) { each.forget_other_threads(); });
    forget_collector();
    unlock_everything();
}

} // namespace

void survive_forks() noexcept {
    // Without memory for three pointers: forks are what they were, which most programs never find out.
    [[maybe_unused]] static const int registered = pthread_atfork(before_fork, unlock_everything, in_child);
}

} // namespace isthmus::core

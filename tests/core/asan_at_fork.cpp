/// Makes a program under AddressSanitizer fit to fork beside threads that allocate, as it is without.
///
/// glibc takes malloc's locks for a fork; AddressSanitizer takes its own from LLVM 18 on
/// (llvm-project#75290), so that a child of older ones, GCC 12's among them, waits for ever for a thread
/// which it does not have. All memory of these programs comes by operator new, but for a thread's as it
/// starts: a fork waits until no thread is inside of it.
#include "allocations/operators.hpp"

#include <atomic>
#include <pthread.h>
#include <sched.h>

namespace {

std::atomic<int> allocating{0};
std::atomic<bool> forking{false};

class in_between_forks {
  public:
    in_between_forks() noexcept {
        for (allocating.fetch_add(1); forking.load(); allocating.fetch_add(1)) {
            allocating.fetch_sub(1);
            while (forking.load()) {
                sched_yield();
            }
        }
    }
    ~in_between_forks() { allocating.fetch_sub(1); }
    in_between_forks(const in_between_forks&) = delete;
    in_between_forks& operator=(const in_between_forks&) = delete;
};

void before() {
    while (forking.exchange(true)) {
        sched_yield();
    }
    while (allocating.load() != 0) {
        sched_yield();
    }
}
void in_parent() {
    forking.store(false);
}
void in_child() {
    allocating.store(0); // a thread may have been about to see the fork
    forking.store(false);
}

/// The first to be registered: the last before the fork, and the first after it.
[[gnu::constructor]] void register_handlers() {
    pthread_atfork(before, in_parent, in_child);
}

} // namespace

void* allocations::allocate(std::size_t size, std::size_t alignment) noexcept {
    const in_between_forks held;
    return from_malloc(size, alignment);
}

void allocations::release(void* at) noexcept {
    const in_between_forks held;
    std::free(at);
}

/// An operator new that fails when it is told to, preloaded into a Python that uses isthmus.
///
/// Nothing else of such a process is C++, so every block counted here is the extension's. What is allocated
/// by CPython stays as it is: tests/python/scripts/no_memory.py is about that. The functions at the end are
/// for ctypes.PyDLL: called with the GIL, on the thread whose allocations are to fail.
#include "failing.hpp"

#include <utility>

namespace {

/// Allocations until the one that fails; 0: none will.
thread_local std::uint64_t here = 0;
/// The same for those of all threads together.
std::atomic<std::uint64_t> anywhere{0};
std::atomic<std::uint64_t> failed{0};

bool due_anywhere() noexcept {
    std::uint64_t left = anywhere.load();
    while (left != 0 && !anywhere.compare_exchange_weak(left, left - 1)) {
    }
    return left == 1;
}

} // namespace

bool allocations::due() noexcept {
    const bool now = (here != 0 && --here == 0) || due_anywhere();
    if (now) {
        failed.fetch_add(1);
    }
    return now;
}

extern "C" {

/// The `nth` allocation from now on fails, and no other: of this thread, or of all of them.
void failing_new_arm(std::uint64_t nth, int of_all_threads) {
    failed.store(0);
    (of_all_threads != 0 ? anywhere.store(nth) : void(here = nth));
}
/// Whether it has failed; if not, it will not any more.
int failing_new_disarm() {
    here = 0;
    anywhere.store(0);
    return failed.exchange(0) != 0 ? 1 : 0;
}
/// In between no allocation of this thread fails or counts. Not for those of all threads.
std::uint64_t failing_new_pause() {
    return std::exchange(here, 0);
}
void failing_new_resume(std::uint64_t paused) {
    here = paused;
}
std::int64_t failing_new_blocks() {
    return allocations::blocks.load();
}
}

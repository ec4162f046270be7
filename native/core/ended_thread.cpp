#include "core/ended_thread.hpp"

#include "core/futex.hpp"

#include <ctime>
#include <sys/syscall.h>
#include <unistd.h>

namespace isthmus::core {

void wait_until_uncounted(int kernel_id) noexcept {
    constexpr futex::nanoseconds patience = 10'000'000'000; // it needs a processor once more, at most
    constexpr timespec pause = {0, 50'000};
    const futex::nanoseconds until = futex::now() + patience;
    while (syscall(SYS_tgkill, getpid(), kernel_id, 0) == 0 && futex::now() < until) {
        nanosleep(&pause, nullptr); // yielding does not let it end if it waits for another processor
    }
}

} // namespace isthmus::core

/// Makes the nth allocation or system call of this thread fail, for every n, and sees that nothing is lost.
///
/// Part of the program isthmus_fault_tests alone, which replaces operator new and is linked with --wrap for
/// the system calls in faults.cpp. Other threads are never disturbed: which of their calls would
/// be the nth is chance.
#pragma once

#include "core/shared_memory.hpp"
#include "memory_fixture.hpp"

#include <dirent.h>
#include <new>
#include <system_error>

namespace allocations {
extern std::atomic<std::int64_t> blocks; // failing.hpp
}

namespace isthmus::core::test::faults {

using allocations::blocks;

/// Calls of this thread until the one that fails; 0: none will.
inline thread_local std::size_t countdown = 0;
inline thread_local bool fired = false;

/// Asked by each call that can be made to fail.
inline bool due() noexcept {
    if (countdown == 0 || --countdown != 0) {
        return false;
    }
    fired = true;
    return true;
}

/// Calls of the test's own in here never fail, and are not counted.
class undisturbed {
  public:
    undisturbed() noexcept : kept_(std::exchange(countdown, 0)) {}
    ~undisturbed() { countdown = kept_; }
    undisturbed(const undisturbed&) = delete;
    undisturbed& operator=(const undisturbed&) = delete;

  private:
    std::size_t kept_;
};

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* const all = opendir("/proc/self/fd");
    while (readdir(all) != nullptr) {
        ++count;
    }
    closedir(all);
    return count;
}

/// What must be the same after an operation failed as before it.
struct balance {
    std::array<std::uint64_t, 7> gauges;
    std::size_t mappings;
    std::size_t idle;
    std::size_t descriptors;
    std::int64_t heap;
    unsigned locks;

    static balance now() {
        const auto of = [](counter up, counter down) {
            return statistics::read(up) - statistics::read(down);
        };
        return {
            {of(counter::slots_made, counter::slots_freed), of(counter::twins_made, counter::twins_dropped),
             of(counter::shares_taken, counter::shares_dropped),
             of(counter::releases_posted, counter::releases_run),
             of(counter::views_made, counter::views_ended), of(counter::buffers_made, counter::buffers_freed),
             of(counter::buffer_bytes_made, counter::buffer_bytes_freed)},
            memory().mappings(),
            memory().idle_bytes(),
            open_descriptors(),
            blocks.load(),
            held_locks::here()};
    }
    bool operator==(const balance&) const = default;
};

inline std::ostream& operator<<(std::ostream& to, const balance& b) {
    for (const std::uint64_t each : b.gauges) {
        to << static_cast<std::int64_t>(each) << ' ';
    }
    return to << "| mappings " << b.mappings << " idle " << b.idle << " descriptors " << b.descriptors
              << " heap " << b.heap << " locks " << b.locks;
}

/// Runs `scenario` with its first call failing, its second, and so on until none is left to fail. Each time
/// it ends as it likes, by itself or with bad_alloc or system_error; then everything must be as before, and
/// the same again, undisturbed, must not throw. Returns how many calls there were.
template <typename Scenario> std::size_t exhaust(Scenario scenario) {
    scenario(); // what is made once for the process is made now
    for (std::size_t n = 1;; ++n) {
        const balance before = balance::now();
        fired = false;
        countdown = n;
        try {
            scenario();
        } catch (const std::bad_alloc&) {
            EXPECT_TRUE(fired);
        } catch (const std::system_error&) {
            EXPECT_TRUE(fired);
        }
        countdown = 0;
        if (!std::exchange(fired, false)) {
            return n - 1;
        }
        EXPECT_EQ(balance::now(), before) << "after call " << n << " failed";
        EXPECT_NO_THROW(scenario()) << "after call " << n << " failed";
        EXPECT_EQ(balance::now(), before) << "after recovering from call " << n;
        if (testing::Test::HasFailure() || n > 10'000) {
            ADD_FAILURE() << "gave up at call " << n;
            return n;
        }
    }
}

} // namespace isthmus::core::test::faults

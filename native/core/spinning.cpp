#include "core/spinning.hpp"

#include <thread>

namespace isthmus::core {

void spin_budget::wasted() noexcept {
    const std::uint32_t before = wasted_.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t half = nanoseconds_.load(std::memory_order_relaxed) / 2;
    const bool try_again = before % waits_between_tries == waits_between_tries - 1;
    nanoseconds_.store(try_again ? longest : std::max(shortest, half), std::memory_order_relaxed);
}

namespace spinning {
namespace {
constinit std::atomic<unsigned> long_spinners{0};
}

unsigned processors() noexcept {
    static const unsigned count = std::max(1U, std::thread::hardware_concurrency());
    return count;
}

permit::permit() noexcept
    : granted_(long_spinners.fetch_add(1, std::memory_order_relaxed) + 1 < processors()) {}

permit::~permit() {
    long_spinners.fetch_sub(1, std::memory_order_relaxed);
}

void forget_other_threads() noexcept {
    long_spinners.store(0, std::memory_order_relaxed);
}

void give_way() noexcept {
    std::this_thread::yield();
}

} // namespace spinning
} // namespace isthmus::core

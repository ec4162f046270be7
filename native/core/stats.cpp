#include "core/stats.hpp"

namespace isthmus::core {

std::array<statistics::shard, statistics::shard_count> statistics::shards_{};
std::atomic<std::size_t> statistics::next_{0};
thread_local constinit std::size_t statistics::mine_ = 0;

std::uint64_t statistics::read(counter which) noexcept {
    std::uint64_t sum = 0;
    for (const shard& one : shards_) {
        sum += one.values[static_cast<std::size_t>(which)].load(std::memory_order_relaxed);
    }
    return sum;
}

std::uint64_t statistics::gauge(counter up, counter down) noexcept {
    // `down` first: an event counts up before it can count down, so the difference cannot go negative by
    // reading order.
    const std::uint64_t lower = read(down);
    const std::uint64_t upper = read(up);
    return upper >= lower ? upper - lower : 0;
}

} // namespace isthmus::core

#include "core/stats.hpp"

namespace isthmus::core {

std::array<statistics::shard, statistics::shard_count> statistics::shards_{};
std::atomic<std::size_t> statistics::next_{0};
thread_local constinit std::size_t statistics::mine_ = 0;

const char* name_of(counter which) noexcept {
    switch (which) {
    case counter::payload_bytes_copied:
        return "payload_bytes_copied";
    case counter::fallback_copies:
        return "fallback_copies";
    case counter::slots_made:
        return "slots_made";
    case counter::slots_freed:
        return "slots_freed";
    case counter::twins_made:
        return "twins_made";
    case counter::twins_dropped:
        return "twins_dropped";
    case counter::shares_taken:
        return "shares_taken";
    case counter::shares_dropped:
        return "shares_dropped";
    case counter::releases_posted:
        return "releases_posted";
    case counter::releases_run:
        return "releases_run";
    case counter::bytes_touched:
        return "bytes_touched";
    case counter::bytes_purged:
        return "bytes_purged";
    case counter::helper_entries:
        return "helper_entries";
    case counter::views_made:
        return "views_made";
    case counter::views_ended:
        return "views_ended";
    case counter::views_orphaned:
        return "views_orphaned";
    case counter::buffers_made:
        return "buffers_made";
    case counter::buffers_freed:
        return "buffers_freed";
    case counter::buffer_bytes_made:
        return "buffer_bytes_made";
    case counter::buffer_bytes_freed:
        return "buffer_bytes_freed";
    case counter::calls_posted:
        return "pending_calls_posted";
    case counter::calls_ended:
        return "pending_calls_run";
    case counter::count_:
        break;
    }
    return "";
}

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

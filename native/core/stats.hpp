/// Process-wide counters, sharded by thread so that the hot paths of two cores never share a cache line.
///
/// Every counter only grows; a gauge is the difference of two of them. Reading is a sum over the shards:
/// exact once the threads that write are quiet, never torn, never blocking. Any thread, no GIL.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace isthmus::core {

enum class counter : std::uint8_t {
    payload_bytes_copied,
    fallback_copies,
    slots_made,
    slots_freed,
    twins_made,
    twins_dropped,
    shares_taken,
    shares_dropped,
    releases_posted,
    releases_run,
    bytes_touched,
    bytes_purged,
    helper_entries,
    views_made,
    views_ended,
    views_orphaned,
    buffers_made,
    buffers_freed,
    buffer_bytes_made,
    buffer_bytes_freed,
    calls_posted,
    calls_ended,
    count_
};

/// As it is written in inspection; static.
[[nodiscard]] const char* name_of(counter which) noexcept;

class statistics {
  public:
    static void add(counter which, std::uint64_t amount = 1) noexcept {
        shards_[shard_index()].values[static_cast<std::size_t>(which)].fetch_add(amount,
                                                                                 std::memory_order_relaxed);
    }
    [[nodiscard]] static std::uint64_t read(counter which) noexcept;
    /// `up - down`, never below zero even while writers are between the two.
    [[nodiscard]] static std::uint64_t gauge(counter up, counter down) noexcept;

  private:
    static constexpr std::size_t shard_count = 32;
    struct alignas(128) shard {
        std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(counter::count_)> values{};
    };
    static std::size_t shard_index() noexcept {
        if (mine_ == 0) [[unlikely]] {
            mine_ = 1 + next_.fetch_add(1, std::memory_order_relaxed) % shard_count;
        }
        return mine_ - 1;
    }
    static std::array<shard, shard_count> shards_;
    static std::atomic<std::size_t> next_;
    [[gnu::tls_model("initial-exec")]] static thread_local constinit std::size_t mine_;
};

} // namespace isthmus::core

/// A look at everything the runtime holds, for inspection from outside: taken without a GIL, while every
/// interpreter may be busy, and without changing anything.
///
/// Each channel and queue is looked at under its own short locks, one after the other, so a snapshot is of
/// one moment for each of them and not for all; nobody waits for longer than one look takes. Interpreters are
/// looked at under the registry's lock, all of them, which takes well under a microsecond for each.
#pragma once

#include "core/channel.hpp"
#include "core/queue.hpp"
#include "core/stats.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace isthmus::core {

struct snapshot {
    /// No more channels, and no more queues, than this are looked at, the oldest first: it bounds the time.
    static constexpr std::size_t most = 10'000;

    enum class helper_state : std::uint8_t { none, idle, busy };

    struct interpreter_view {
        std::int64_t number = 0; ///< CPython's id
        std::optional<std::string> name;
        const char* whence = "";
        bool own_gil = false;
        bool is_main = false;
        bool closing = false;
        std::uint32_t runs = 0;   ///< under way, by isthmus
        std::uint32_t waits = 0;  ///< of its threads, in isthmus
        std::uint32_t loans = 0;  ///< buffers its exporters have lent
        std::size_t releases = 0; ///< that wait in its window's inbox
        std::size_t errands = 0;  ///< that wait in its own
        helper_state helper = helper_state::none;
        std::optional<unsigned> window; ///< interpreters under main's GIL share one
        std::size_t slots = 0;          ///< live ones of that window
        std::size_t slot_bytes = 0;
        party_id side = 0;
    };
    struct channel_view {
        channel_id id = 0;
        std::optional<std::size_t> capacity;
        channel::portrait seen;
    };
    struct queue_view {
        queue_id id = 0;
        std::int64_t maxsize = 0;
        queue::portrait seen;
    };
    /// Bytes and counts; limits of 0: there is no arena.
    struct memory_view {
        std::size_t budget = 0;
        std::size_t idle_bytes = 0; ///< of the resident ones, in slots that are kept for reuse
        std::size_t mappings = 0;
        std::size_t mapping_cap = 0;
    };

    std::int64_t taken = 0; ///< CLOCK_MONOTONIC, nanoseconds
    std::vector<interpreter_view> interpreters;
    std::vector<channel_view> channels;
    std::vector<queue_view> queues;
    std::size_t channels_left_out = 0;
    std::size_t queues_left_out = 0;
    memory_view memory;
    std::array<std::uint64_t, static_cast<std::size_t>(counter::count_)> counters{};

    /// Any thread, with or without a GIL. May throw std::bad_alloc.
    [[nodiscard]] static snapshot take();
    /// One line of JSON, without the newline; docs/inspection.md describes it. May throw std::bad_alloc.
    [[nodiscard]] std::string to_json() const;

    [[nodiscard]] std::uint64_t read(counter which) const noexcept {
        return counters[static_cast<std::size_t>(which)];
    }
    [[nodiscard]] std::uint64_t gauge(counter up, counter down) const noexcept {
        return read(up) >= read(down) ? read(up) - read(down) : 0;
    }
};

} // namespace isthmus::core

/// How a snapshot is written. Fields may be added; a change of what one means is a new version of the wire
/// format (inspector.hpp).
#include "core/inspector.hpp"
#include "core/json_writer.hpp"
#include "core/snapshot.hpp"

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace isthmus::core {
namespace {

template <typename T> void write_optional(json_writer& out, std::string_view key, const std::optional<T>& v) {
    if (v) {
        out.field(key, *v);
    } else {
        out.key(key).null();
    }
}

const char* word_for(snapshot::helper_state state) noexcept {
    switch (state) {
    case snapshot::helper_state::idle:
        return "idle";
    case snapshot::helper_state::busy:
        return "busy";
    case snapshot::helper_state::none:
        break;
    }
    return "none";
}

void write(json_writer& out, const snapshot::interpreter_view& each) {
    out.begin_object().field("id", each.number).key("name");
    if (each.name) {
        out.text(*each.name);
    } else {
        out.null();
    }
    out.key("whence").text(each.whence);
    out.key("gil").text(each.own_gil ? "own" : "shared");
    out.key("state").text(each.closing ? "closing" : "open");
    out.field("running", each.is_main || each.runs != 0).field("runs", each.runs).field("waits", each.waits);
    out.key("helper").text(word_for(each.helper));
    out.field("releases_waiting", each.releases).field("errands_waiting", each.errands);
    out.field("lent", each.loans);
    write_optional(out, "window", each.window);
    out.field("slots", each.slots).field("slot_bytes", each.slot_bytes).end_object();
}

/// Channels know parties; people know ids. Parties without an interpreter are left out: it is gone by now, or
/// they are C++ threads.
class ids_of_parties {
  public:
    explicit ids_of_parties(const std::vector<snapshot::interpreter_view>& all) {
        known_.reserve(all.size());
        for (const snapshot::interpreter_view& each : all) {
            known_.emplace_back(each.side, each.number);
        }
        std::ranges::sort(known_);
    }
    void write(json_writer& out, std::string_view key, const std::vector<party_id>& parties) const {
        out.key(key).begin_array();
        for (const party_id who : parties) {
            const auto at =
                std::ranges::lower_bound(known_, who, {}, &std::pair<party_id, std::int64_t>::first);
            if (at != known_.end() && at->first == who) {
                out.value(at->second);
            }
        }
        out.end_array();
    }

  private:
    std::vector<std::pair<party_id, std::int64_t>> known_;
};

void write(json_writer& out, const snapshot::channel_view& each, const ids_of_parties& ids) {
    const channel::statistics& counts = each.seen.counts;
    out.begin_object().field("id", each.id);
    write_optional(out, "capacity", each.capacity);
    out.field("depth", counts.buffered).field("closed", each.seen.closed);
    out.field("poisoned", each.seen.poisoned);
    ids.write(out, "receivers", each.seen.receivers);
    ids.write(out, "senders", each.seen.senders);
    out.field("waiting_receivers", counts.waiting_receivers).field("waiting_senders", counts.waiting_senders);
    out.field("sent", counts.sent).field("received", counts.received).field("dropped", counts.dropped);
    out.end_object();
}

void write(json_writer& out, const snapshot::queue_view& each, const ids_of_parties& ids) {
    const queue::portrait& seen = each.seen;
    out.begin_object().field("id", each.id).field("maxsize", each.maxsize).field("depth", seen.items);
    out.field("shut_down", seen.shut);
    ids.write(out, "interpreters", seen.users);
    out.field("waiting_getters", seen.waiting_getters).field("waiting_putters", seen.waiting_putters);
    out.field("put", seen.put).field("got", seen.got).field("dropped", seen.dropped).end_object();
}

void write_memory(json_writer& out, const snapshot& all) {
    using enum counter;
    out.key("memory").begin_object();
    out.field("slots_live", all.gauge(slots_made, slots_freed));
    out.field("bytes_resident", all.gauge(bytes_touched, bytes_purged));
    out.field("bytes_idle", all.memory.idle_bytes).field("budget", all.memory.budget);
    out.field("mappings", all.memory.mappings).field("mapping_cap", all.memory.mapping_cap);
    out.field("twins_live", all.gauge(twins_made, twins_dropped));
    out.field("shares_outstanding", all.gauge(shares_taken, shares_dropped));
    out.field("views_live", all.gauge(views_made, views_ended));
    out.field("shared_buffers_live", all.gauge(buffers_made, buffers_freed));
    out.field("shared_buffer_bytes", all.gauge(buffer_bytes_made, buffer_bytes_freed));
    out.end_object();
}

} // namespace

std::string snapshot::to_json() const {
    json_writer out;
    out.begin_object().field("isthmus", inspector::wire_version).key("kind").text("snapshot");
    out.field("pid", getpid()).field("taken", taken);
    out.key("interpreters").begin_array();
    for (const interpreter_view& each : interpreters) {
        write(out, each);
    }
    const ids_of_parties ids(interpreters);
    out.end_array().key("channels").begin_array();
    for (const channel_view& each : channels) {
        write(out, each, ids);
    }
    out.end_array().field("channels_left_out", channels_left_out).key("queues").begin_array();
    for (const queue_view& each : queues) {
        write(out, each, ids);
    }
    out.end_array().field("queues_left_out", queues_left_out);
    write_memory(out, *this);
    out.key("counters").begin_object();
    for (std::size_t i = 0; i < counters.size(); ++i) {
        out.field(name_of(static_cast<counter>(i)), counters[i]);
    }
    return out.end_object().end_object().take();
}

} // namespace isthmus::core

#include "core/snapshot.hpp"

#include "core/memory.hpp"
#include "core/registry.hpp"

#include <utility>

namespace isthmus::core {
namespace {

snapshot::helper_state state_of(const helper& of) noexcept {
    if (!of.running()) {
        return snapshot::helper_state::none;
    }
    return of.working() ? snapshot::helper_state::busy : snapshot::helper_state::idle;
}

snapshot::interpreter_view look_at(interpreter& record) {
    snapshot::interpreter_view seen;
    seen.number = record.number;
    seen.name = record.name;
    seen.whence = record.whence.load(std::memory_order_relaxed);
    seen.own_gil = record.own_gil;
    seen.is_main = record.is_main;
    seen.closing = !record.open();
    seen.runs = record.runs.load(std::memory_order_relaxed);
    seen.waits = record.side->waiters();
    seen.loans = record.loans.load(std::memory_order_relaxed);
    seen.errands = record.errands.depth();
    seen.helper = state_of(helper_of(record));
    seen.side = record.side->id();
    if (const window* const view = record.view; view != nullptr) {
        seen.window = view->index;
        seen.releases = view->box.depth();
        seen.slots = view->slots.load(std::memory_order_relaxed);
        seen.slot_bytes = view->slot_bytes.load(std::memory_order_relaxed);
    }
    return seen;
}

template <typename Kind, typename Views, typename Look>
std::size_t look_at_all(directory<Kind>& all, Views& views, Look look) {
    views.reserve(std::min(all.size(), snapshot::most)); // few allocations under the directory's lock
    all.inspect(snapshot::most, [&](Kind& each) { views.push_back(look(each)); });
    const std::size_t there = all.size();
    return views.size() < snapshot::most ? 0 : there - std::min(there, views.size());
}

} // namespace

snapshot snapshot::take() {
    snapshot all;
    all.taken = futex::now();
    // A gauge is the difference of two counters, of which the one that is counted later is looked at first,
    // and comes later in the list: so it can't come out below zero.
    for (std::size_t i = all.counters.size(); i-- > 0;) {
        all.counters[i] = statistics::read(static_cast<counter>(i));
    }
    core::interpreters().inspect([&](interpreter& record) { all.interpreters.push_back(look_at(record)); });
    all.channels_left_out = look_at_all(channel::all(), all.channels, [](channel& each) {
        return channel_view{each.id(), each.capacity(), each.draw()};
    });
    all.queues_left_out = look_at_all(queue::all(), all.queues, [](queue& each) {
        return queue_view{each.id(), each.maxsize(), each.draw()};
    });
    const memory_system& system = core::memory();
    if (system.started()) {
        all.memory = {.budget = system.chosen().budget,
                      .idle_bytes = system.idle_bytes(),
                      .mappings = system.mappings(),
                      .mapping_cap = system.chosen().mapping_cap};
    }
    return all;
}

} // namespace isthmus::core

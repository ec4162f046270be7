#include "cpython/twin.hpp"

#include "cpython/hook.hpp"
#include "cpython/lifecycle.hpp"

#include "core/stats.hpp"

#include <cstring>
#include <unordered_map>

namespace isthmus::py {
namespace {

using core::counter;
using core::memory;
using core::statistics;

/// Owner table entries for objects that do not lie in a slot themselves: which slot holds a copy of them
/// while shares are out. One table a window, guarded by its GIL. Keys and values hold a strong reference on
/// the object.
struct copies {
    std::unordered_map<PyObject*, core::slot*> slot_by_object;
    std::unordered_map<core::slot*, PyObject*> object_by_slot;
};

copies& copies_of(const core::window& view) noexcept {
    static std::array<copies, core::max_windows> tables;
    return tables[view.index];
}

constinit std::atomic<bool> forbidden{false};

bool owned_here(const core::interpreter& here, const core::slot& s) noexcept {
    return here.view != nullptr && s.owner_window.load(std::memory_order_relaxed) == here.view->index;
}

/// One more share of a slot that `from` owns. `original`: the object that lies in it.
core::share share_owned(core::slot& s, PyObject* original, compat::form f) {
    // A pin is a share too, but has no keeper and needs no record.
    if (s.shares() == 0 || (s.word.load(std::memory_order_relaxed) & core::protocol::keeper) == 0) {
        compat::describe_object(original, f, s.record);
    }
    statistics::add(counter::shares_taken);
    if (core::protocol::share_by_owner(s)) {
        Py_INCREF(original); // the keeper; dropped in drop_keeper
    }
    return core::share(&s);
}

/// An object from before placement: its bytes are copied into a slot, once while shares are out.
core::share share_copy(core::interpreter& from, PyObject* o, compat::form f) {
    core::memory_system& memory = core::memory();
    copies& table = copies_of(*from.view);
    if (const auto known = table.slot_by_object.find(o); known != table.slot_by_object.end()) {
        core::slot& s = *known->second;
        return share_owned(s, reinterpret_cast<PyObject*>(memory.object_in(from.view->index, s)), f);
    }
    const std::size_t size = compat::block_size_of(o, f);
    void* const place = memory.allocate(*from.view, from.identity, size, size, false);
    if (place == nullptr) {
        return {};
    }
    core::slot& s = *memory.find(place);
    try {
        table.object_by_slot.emplace(&s, o);
        table.slot_by_object.emplace(o, &s);
    } catch (...) {
        table.object_by_slot.erase(&s);
        memory.release(place);
        throw;
    }
    std::memcpy(place, o, size);
    statistics::add(counter::payload_bytes_copied, size);
    core::slot_record record;
    compat::describe_object(o, f, record);
    PyObject* const copy = compat::make_object(static_cast<std::byte*>(place), record);
    Py_INCREF(o);
    core::share held = share_owned(s, copy, f);
    Py_DECREF(copy); // the keeper alone holds the copy
    return held;
}

/// The keeper's reference ends. Called by a drain, under the owner's GIL.
void drop_keeper(void* object) {
    core::memory_system& memory = core::memory();
    copies& table = copies_of(memory.window_at(memory.space().window_of(object)));
    PyObject* stood_for = nullptr;
    if (!table.object_by_slot.empty()) {
        if (const auto known = table.object_by_slot.find(memory.find(object));
            known != table.object_by_slot.end()) {
            stood_for = known->second;
            table.slot_by_object.erase(stood_for);
            table.object_by_slot.erase(known);
        }
    }
    Py_DECREF(static_cast<PyObject*>(object));
    Py_XDECREF(stood_for);
}

/// A share that came home: if it was the last one, the owner is here and needs no release in its inbox.
void end_share_here(core::slot& s) noexcept {
    statistics::add(counter::shares_dropped);
    if (core::protocol::drop(s) == core::protocol::after_drop::post_release &&
        core::protocol::settle(s) == core::protocol::after_settle::drop_keeper) {
        drop_keeper(memory().object_in(s.owner_window.load(std::memory_order_relaxed), s));
    }
}

PyObject* original_of(core::interpreter& here, core::slot& s) noexcept {
    const auto& table = copies_of(*here.view).object_by_slot;
    if (!table.empty()) {
        if (const auto known = table.find(&s); known != table.end()) {
            return known->second;
        }
    }
    return reinterpret_cast<PyObject*>(core::memory().object_in(here.view->index, s));
}

ref copy_of(core::slot& s) {
    ref copied = require(compat::copy_object(s.record, core::memory().payload(s)));
    statistics::add(counter::payload_bytes_copied, s.bytes.load(std::memory_order_relaxed));
    statistics::add(counter::fallback_copies);
    return copied;
}

/// The hook in the chain frees twins; asked now and then only, since asking takes a lock of CPython's.
bool twins_can_die() noexcept {
    thread_local constinit unsigned turn = 0;
    return (turn++ % 64 != 0) || hook_in_place();
}

} // namespace

std::size_t twin_threshold() noexcept {
    return core::memory().chosen().threshold;
}

core::slot* slot_of(core::interpreter& here, PyObject* o) noexcept {
    if (core::slot* const s = memory().find(o); s != nullptr) {
        return compat::form_of(o) != compat::form::none ? s : nullptr;
    }
    if (here.view == nullptr) {
        return nullptr;
    }
    const auto& table = copies_of(*here.view).slot_by_object;
    const auto known = table.find(o);
    return known != table.end() ? known->second : nullptr;
}

bool is_foreign_twin(PyObject* o) noexcept {
    const core::slot* const s = memory().find(o);
    return s != nullptr && s->owner_window.load(std::memory_order_relaxed) != memory().space().window_of(o);
}

core::share share_out(core::interpreter& from, PyObject* o) {
    const compat::form f = compat::form_of(o);
    if (f == compat::form::none || from.view == nullptr || !placement_is_on() ||
        forbidden.load(std::memory_order_relaxed) || compat::block_size_of(o, f) < twin_threshold()) {
        return {};
    }
    if (core::slot* const s = memory().find(o); s != nullptr) {
        if (owned_here(from, *s)) {
            start_helper(from);
            return share_owned(*s, o, f);
        }
        // A twin holds a share, so another may be added (design section 5).
        core::add_share(*s);
        return core::share(s);
    }
    start_helper(from);
    return share_copy(from, o, f);
}

ref receive(core::interpreter& to, core::share held) {
    core::slot& s = *held.get();
    if (to.view == nullptr || !to.twins_allowed.load(std::memory_order_relaxed)) {
        return copy_of(s);
    }
    if (owned_here(to, s)) {
        ref original = ref::share(original_of(to, s));
        end_share_here(*held.release());
        return original;
    }
    core::memory_system& memory = core::memory();
    if (s.has_twin(to.view->index)) {
        return ref::share(reinterpret_cast<PyObject*>(memory.object_in(to.view->index, s)));
    }
    if (!twins_can_die() || !memory.show(s, *to.view)) {
        return copy_of(s);
    }
    PyObject* const twin = compat::make_object(memory.object_in(to.view->index, s), s.record);
    core::slot::set(s.twins, to.view->index);
    statistics::add(counter::twins_made);
    static_cast<void>(held.release()); // the twin's from now on; given back by the free hook
    return ref::steal(twin);
}

core::share pin(core::interpreter& from, const void* address) noexcept {
    core::slot* const s = memory().containing(address);
    if (s == nullptr || from.view == nullptr || memory().space().window_of(address) != from.view->index ||
        !(owned_here(from, *s) || s->has_twin(from.view->index))) {
        return {};
    }
    core::add_share(*s);
    return core::share(s);
}

void unpin(core::interpreter& here, core::share held) {
    if (held && owned_here(here, *held.get())) {
        end_share_here(*held.release());
    }
}

void forbid_twins() noexcept {
    forbidden.store(true);
}

namespace {

/// Nothing else would run them. Not within one of them: their order is kept.
void run_errands_here(core::interpreter& here) {
    if (std::exchange(here.runs_errands, true)) {
        return;
    }
    const std::unique_ptr<bool, void (*)(bool*)> done(&here.runs_errands,
                                                      [](bool* running) { *running = false; });
    core::run_errands(here);
}

} // namespace

void drain(core::interpreter& here) {
    if (here.view != nullptr && !here.view->box.empty()) {
        memory().drain(*here.view, drop_keeper);
    }
    if (!here.errands.empty()) [[unlikely]] {
        // The helper may be missing: after a fork, or where no thread could be made.
        if (!start_errands(here)) {
            run_errands_here(here);
        }
    }
}

void forget_copies(const core::window& view) noexcept {
    copies& table = copies_of(view);
    table.slot_by_object.clear();
    table.object_by_slot.clear();
}

} // namespace isthmus::py

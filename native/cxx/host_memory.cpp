#include "cxx/host_memory.hpp"

#include "core/immortal.hpp"
#include "core/start.hpp"
#include "core/stats.hpp"

#include <cstring>
#include <pthread.h>
#include <utility>

namespace isthmus::detail {
namespace {

using core::counter;
using core::memory;
using core::slot;
using core::statistics;

/// How many use the twin whose object base this is. Under the host's mutex.
std::uint64_t& users_of_twin(std::byte* object) noexcept {
    return *reinterpret_cast<std::uint64_t*>(object);
}

/// What a twin is made of besides its payload pages. The header area holds nothing of use, and stays out.
void describe(const std::byte* object, core::form form, std::int64_t length,
              core::slot_record& record) noexcept {
    const std::size_t header = core::header_size(form);
    record.form = static_cast<std::uint8_t>(form);
    record.length = length;
    record.hash = -1;
    record.head.fill(std::byte{0});
    std::memcpy(record.head.data() + header, object + header, core::header_room - header);
}

} // namespace

host_memory& host() noexcept {
    return core::immortal<host_memory>();
}

void host_memory::prepare() {
    std::call_once(prepared_, [this] {
        core::start();
        // After the core's: handlers run in the opposite order before a fork, so this mutex is the first
        // then.
        survives_forks_ = pthread_atfork([] { host().before_fork(); }, [] { host().after_fork(); },
                                         [] { host().after_fork(); }) == 0;
    });
}

std::size_t host_memory::threshold() {
    prepare();
    return memory().chosen().threshold;
}

bool host_memory::take_window() noexcept {
    if (window_.load(std::memory_order_relaxed) != nullptr) {
        return true;
    }
    core::window* const taken = survives_forks_ ? memory().take_window() : nullptr;
    if (taken == nullptr) {
        return false; // perhaps the next time: interpreters end, and leave theirs
    }
    taken->wake.store([](core::window&) { host().knock(); }, std::memory_order_release);
    window_.store(taken, std::memory_order_release);
    return true;
}

std::byte* host_memory::allocate(std::size_t size) {
    prepare();
    std::span<std::byte> fresh;
    void* block = nullptr;
    {
        const turn mine(*this);
        if (take_window()) {
            block = memory().allocate(*window_.load(std::memory_order_relaxed), core::host_owner, size, size,
                                      false, &fresh);
        }
    }
    memory().populate(fresh); // other threads' blocks need not wait for it
    return static_cast<std::byte*>(block);
}

void host_memory::release(std::byte* object) noexcept {
    const turn mine(*this);
    memory().release(object);
}

core::share host_memory::publish(std::byte* object, core::form form, std::int64_t length) noexcept {
    slot& s = *memory().find(object);
    describe(object, form, length, s.record);
    const std::size_t size = core::header_size(form) + core::data_size(form, length);
    const turn mine(*this);
    if (size != s.bytes.load(std::memory_order_relaxed)) {
        memory().resize(s, size);
    }
    statistics::add(counter::shares_taken);
    // The keeper stands for nothing but the block itself, which is freed when it ends.
    static_cast<void>(core::protocol::share_by_owner(s));
    return core::share(&s);
}

bool host_memory::owns(const slot& s) const noexcept {
    const core::window* const view = window_.load(std::memory_order_acquire);
    return view != nullptr && s.owner_window.load(std::memory_order_relaxed) == view->index;
}

std::byte* host_memory::object_of(const slot& s) const noexcept {
    return memory().object_in(window_.load(std::memory_order_acquire)->index, s);
}

bool host_memory::show(core::share& held) {
    prepare();
    core::share spare; // dropped after the turn: it may wake somebody
    const turn mine(*this);
    slot& s = *held.get();
    if (!take_window()) {
        return false;
    }
    core::window& view = *window_.load(std::memory_order_relaxed);
    if (s.has_twin(view.index)) {
        ++users_of_twin(object_of(s));
        spare = std::move(held);
        return true;
    }
    if (!memory().show(s, view)) {
        return false;
    }
    std::byte* const object = object_of(s);
    const std::size_t header = core::header_size(core::form{s.record.form});
    // From the record: another twin's header page is writable (H2).
    std::memcpy(object + header, s.record.head.data() + header, core::header_room - header);
    users_of_twin(object) = 1;
    slot::set(s.twins, view.index);
    statistics::add(counter::twins_made);
    static_cast<void>(held.release()); // the twin's from now on
    return true;
}

void host_memory::leave_twin(slot& s) noexcept {
    const turn mine(*this);
    std::byte* const object = object_of(s);
    if (--users_of_twin(object) == 0) {
        memory().release(object);
    }
}

/// The inbox has something in it. Any thread, perhaps one that frees an object of CPython's: waits for
/// nobody.
void host_memory::knock() noexcept {
    // Read-modify-writes here and in leave(), each between a lock and a try: if that one comes first, its
    // unlock happened before our try; if ours does, it sees that somebody knocked.
    knocked_.exchange(1, std::memory_order_acq_rel);
    if (lock_.try_lock()) {
        leave();
    }
}

void host_memory::leave() noexcept {
    do {
        drain();
        lock_.unlock();
        // If the try fails, the one who has the mutex by now comes here later.
    } while (knocked_.fetch_or(0, std::memory_order_acq_rel) != 0 && lock_.try_lock());
}

void host_memory::drain() noexcept {
    core::window* const view = window_.load(std::memory_order_relaxed);
    if (view == nullptr) {
        return;
    }
    // Cleared before the look, so that it is set again by whoever posts after it.
    if (knocked_.load(std::memory_order_relaxed) != 0) {
        knocked_.exchange(0, std::memory_order_acq_rel);
    }
    if (!view->box.empty()) {
        memory().drain(*view, [](void* object) { memory().release(object); });
    }
}

} // namespace isthmus::detail

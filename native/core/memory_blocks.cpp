/// Address space of the arena (a buddy allocator over blocks of `unit_size << order`) and the warm blocks of
/// a window.

#include "core/memory.hpp"

#include "core/stats.hpp"

#include <bit>
#include <cassert>
#include <pthread.h>
#include <sys/mman.h>

namespace isthmus::core {

bool memory_system::start(const options& chosen) noexcept {
    if (started()) {
        return true;
    }
    static const int refused =
        pthread_atfork([] { memory().before_fork(); }, [] { memory().after_fork_in_parent(); },
                       [] { memory().after_fork_in_child(); });
    if (refused != 0) {
        arena_.give_back("no memory to take part in forks");
        return false;
    }
    const std::lock_guard guard(lock_); // a fork is before all of this, or after it
    options_ = chosen;
    options wanted = chosen;
    void* place = MAP_FAILED;
    std::size_t units = 0;
    while (place == MAP_FAILED) {
        if (!arena_.reserve(wanted)) {
            return false;
        }
        // One entry a unit; pages of the table exist only where blocks begin.
        units = arena_.capacity() >> unit_shift;
        place = mmap(nullptr, units * sizeof(slot), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED) {
            // RLIMIT_DATA counts the table, though not the arena: a smaller arena needs a smaller one.
            wanted.capacity = arena_.capacity() / 2;
            arena_.give_back("no memory for the slot table (RLIMIT_DATA or RLIMIT_AS?)");
        }
    }
    // All-zero bytes are the valid, empty state of a slot (see the static_assert in slot.hpp's test).
    table_ = static_cast<slot*>(place);
    top_order_ = static_cast<unsigned>(std::countr_zero(units));
    table_[0].order = static_cast<std::uint8_t>(top_order_);
    push_spare(table_[0]);
    for (unsigned index = 0; index < max_windows; ++index) {
        windows_[index].index = index;
    }
    return true;
}

void memory_system::push_spare(slot& s) noexcept {
    s.state.store(slot::use::spare, std::memory_order_relaxed);
    s.list_prev = nullptr;
    s.list_next = spare_[s.order];
    if (s.list_next != nullptr) {
        s.list_next->list_prev = &s;
    }
    spare_[s.order] = &s;
}

void memory_system::remove_spare(slot& s) noexcept {
    (s.list_prev != nullptr ? s.list_prev->list_next : spare_[s.order]) = s.list_next;
    if (s.list_next != nullptr) {
        s.list_next->list_prev = s.list_prev;
    }
    s.list_next = s.list_prev = nullptr;
    s.state.store(slot::use::none, std::memory_order_relaxed);
}

/// A block of exactly this order, split off the smallest spare one that holds it; null if there is none.
slot* memory_system::carve(unsigned order) noexcept {
    unsigned from = order;
    while (from <= top_order_ && spare_[from] == nullptr) {
        ++from;
    }
    if (from > top_order_) {
        return nullptr;
    }
    slot* s = spare_[from];
    remove_spare(*s);
    while (from > order) {
        --from;
        slot& upper = table_[index_of(*s) + (std::size_t{1} << from)];
        upper.order = static_cast<std::uint8_t>(from);
        push_spare(upper);
    }
    s->order = static_cast<std::uint8_t>(order);
    return s;
}

/// Gives a block's addresses back, joined with its free buddies.
void memory_system::merge(slot& s) noexcept {
    std::size_t index = index_of(s);
    unsigned order = s.order;
    s.state.store(slot::use::none, std::memory_order_relaxed);
    while (order < top_order_) {
        slot& buddy = table_[index ^ (std::size_t{1} << order)];
        if (buddy.state.load(std::memory_order_relaxed) != slot::use::spare || buddy.order != order) {
            break;
        }
        remove_spare(buddy);
        index &= ~(std::size_t{1} << order);
        ++order;
    }
    table_[index].order = static_cast<std::uint8_t>(order);
    push_spare(table_[index]);
}

void memory_system::make_idle(window& w, slot& s) noexcept {
    s.generation.fetch_add(1, std::memory_order_release);
    s.state.store(slot::use::idle, std::memory_order_relaxed);
    s.word.store(0, std::memory_order_relaxed);
    s.stamp = ++w.frees;
    s.list_prev = nullptr;
    s.list_next = w.warm[s.order];
    (s.list_next != nullptr ? s.list_next->list_prev : w.oldest[s.order]) = &s;
    w.warm[s.order] = &s;
    idle_bytes_.fetch_add(s.touched, std::memory_order_relaxed);
    statistics::add(counter::slots_freed);
}

void memory_system::unlink_idle(window& w, slot& s) noexcept {
    (s.list_prev != nullptr ? s.list_prev->list_next : w.warm[s.order]) = s.list_next;
    (s.list_next != nullptr ? s.list_next->list_prev : w.oldest[s.order]) = s.list_prev;
    s.list_next = s.list_prev = nullptr;
    idle_bytes_.fetch_sub(s.touched, std::memory_order_relaxed);
}

void memory_system::keep_within_budget(window& w) noexcept {
    while (idle_bytes() > options_.budget && purge_oldest(w)) {
    }
}

/// Gives the window's longest-idle block back to the kernel and to the free address space. False: there is
/// none.
bool memory_system::purge_oldest(window& w) noexcept {
    slot* chosen = nullptr;
    for (slot* candidate : w.oldest) {
        if (candidate != nullptr && (chosen == nullptr || candidate->stamp < chosen->stamp)) {
            chosen = candidate;
        }
    }
    if (chosen == nullptr) {
        return false;
    }
    unlink_idle(w, *chosen);
    const std::lock_guard guard(lock_);
    dissolve(*chosen);
    return true;
}

/// Unmaps the block from every window, frees its pages, gives its addresses back. Nobody may look at it any
/// more.
void memory_system::dissolve(slot& s) noexcept {
    const std::size_t offset = offset_of(s);
    const std::uint16_t owner = s.owner_window.load(std::memory_order_relaxed);
    std::size_t mappings = 0;
    for (unsigned index = 0; index < arena_.windows(); ++index) {
        if (slot::clear(s.mapped, index)) {
            arena_.unmap(index, offset, s.block_size());
            mappings += index == owner ? 1 : 2;
        }
    }
    mappings_.fetch_sub(mappings, std::memory_order_relaxed);
    if (s.touched != 0) {
        arena_.punch(offset, round_to_page(s.touched));
        statistics::add(counter::bytes_purged, s.touched);
        s.touched = 0;
    }
    (s.all_prev != nullptr ? s.all_prev->all_next : all_) = s.all_next;
    if (s.all_next != nullptr) {
        s.all_next->all_prev = s.all_prev;
    }
    s.all_next = s.all_prev = nullptr;
    merge(s);
}

} // namespace isthmus::core

#include "core/memory.hpp"

#include "core/stats.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace isthmus::core {
namespace {

unsigned order_for(std::size_t size) noexcept {
    const std::size_t units = (object_offset + size + unit_size - 1) >> unit_shift;
    return static_cast<unsigned>(std::bit_width(units - 1));
}

} // namespace

memory_system& memory() noexcept {
    alignas(memory_system) static std::byte storage[sizeof(memory_system)];
    static memory_system* const instance = new (storage) memory_system;
    return *instance;
}

window* memory_system::take_window() noexcept {
    const std::lock_guard guard(lock_);
    for (unsigned index = 0; started() && index < arena_.windows(); ++index) {
        window& w = windows_[index];
        if (!w.taken) {
            w.taken = true;
            w.index = index;
            w.box.reopen();
            return &w;
        }
    }
    return nullptr;
}

void* memory_system::allocate(window& w, std::uint64_t owner, std::size_t size, std::size_t expected,
                              bool zero, std::span<std::byte>* fresh) noexcept {
    const unsigned order = order_for(std::max(size, expected));
    if (order > top_order_ || size > (std::size_t{1} << 62)) {
        return nullptr;
    }
    slot* s = warm_block(w, order);
    if (s == nullptr) {
        s = fresh_block(w, order);
    }
    if (s == nullptr && order != order_for(size)) {
        return allocate(w, owner, size, size, zero, fresh);
    }
    if (s == nullptr) {
        return nullptr;
    }
    s->owner.store(owner, std::memory_order_relaxed);
    s->bytes.store(size, std::memory_order_relaxed);
    s->state.store(slot::use::live, std::memory_order_relaxed);
    statistics::add(counter::slots_made);
    count_slot(w, *s, true);
    const std::span<std::byte> untouched = touch(w, *s, size, zero);
    if (fresh != nullptr) {
        *fresh = untouched;
    } else {
        populate(untouched);
    }
    return object_in(w.index, *s);
}

/// Plain additions: only the holder of the window's GIL writes.
void memory_system::count_slot(window& w, const slot& s, bool more) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    const std::size_t bytes = s.bytes.load(relaxed);
    w.slots.store(w.slots.load(relaxed) + (more ? 1 : std::size_t(-1)), relaxed);
    w.slot_bytes.store(w.slot_bytes.load(relaxed) + (more ? bytes : std::size_t{0} - bytes), relaxed);
}

/// Newest idle block of this order, or of a slightly larger one: warm pages are worth more than addresses.
slot* memory_system::warm_block(window& w, unsigned order) noexcept {
    for (unsigned tried = order; tried <= std::min(order + 2, top_order_); ++tried) {
        if (slot* s = w.warm[tried]; s != nullptr) {
            unlink_idle(w, *s);
            return s;
        }
    }
    return nullptr;
}

slot* memory_system::fresh_block(window& w, unsigned order) noexcept {
    for (bool purged = true; purged; purged = purge_oldest(w)) {
        if (!count_mappings(1)) {
            continue;
        }
        const std::lock_guard guard(lock_);
        slot* s = carve(order);
        if (s != nullptr && arena_.map_owner(w.index, offset_of(*s), s->block_size())) {
            s->owner_window.store(static_cast<std::uint16_t>(w.index), std::memory_order_relaxed);
            s->word.store(0, std::memory_order_relaxed);
            s->touched = 0;
            slot::set(s->mapped, w.index);
            s->all_prev = nullptr;
            s->all_next = all_;
            if (all_ != nullptr) {
                all_->all_prev = s;
            }
            all_ = s;
            return s;
        }
        mappings_.fetch_sub(1, std::memory_order_relaxed);
        if (s != nullptr) {
            merge(*s);
        }
    }
    return nullptr;
}

/// Makes the first `size` bytes of the object usable: zeroed if asked, and faulted in by one call instead of
/// page by page.
std::span<std::byte> memory_system::touch(window& w, slot& s, std::size_t size, bool zero) const noexcept {
    const std::size_t end = round_to_page(object_offset + size);
    if (zero && s.touched > object_offset) {
        std::memset(object_in(w.index, s), 0, std::min(size, s.touched - object_offset));
    }
    if (end <= s.touched) {
        return {};
    }
    const std::size_t more = end - s.touched;
    statistics::add(counter::bytes_touched, more);
    std::byte* const first = arena_.at(w.index, offset_of(s) + s.touched);
    s.touched = end;
    // Zeroed memory may stay untouched for long (sparse arrays): its pages come when they are written.
    return zero || more <= page_size ? std::span<std::byte>() : std::span(first, more);
}

void memory_system::populate(std::span<std::byte> fresh) const noexcept {
    if (!fresh.empty()) {
        arena::populate(fresh);
    }
}

void memory_system::resize(slot& s, std::size_t size) noexcept {
    window& w = windows_[s.owner_window.load(std::memory_order_relaxed)];
    count_slot(w, s, false);
    s.bytes.store(size, std::memory_order_relaxed);
    count_slot(w, s, true);
    populate(touch(w, s, size, false));
}

void memory_system::release(void* address) noexcept {
    slot& s = table_[arena_.offset_of(address) >> unit_shift];
    const unsigned index = arena_.window_of(address);
    if (s.owner_window.load(std::memory_order_acquire) != index) {
        if (slot::clear(s.twins, index)) {
            statistics::add(counter::twins_dropped);
            drop_share(s);
        }
        return;
    }
    window& w = windows_[index];
    count_slot(w, s, false);
    if ((s.word.load(std::memory_order_acquire) & (protocol::shares_mask | protocol::queued)) != 0) {
        // Freed although the keeper holds a reference: only an interpreter that tears down its objects
        // regardless of their counts does that. The payload outlives the object (invariant 7).
        {
            // The mapping goes as well: sent the value again, this window sees it like any other, read only.
            const std::lock_guard guard(lock_);
            if (slot::clear(s.mapped, index)) {
                arena_.unmap(index, offset_of(s), s.block_size());
                mappings_.fetch_sub(1, std::memory_order_relaxed);
            }
            s.owner_window.store(no_window, std::memory_order_release);
        }
        if (protocol::make_orphan(s)) {
            give_back_orphan(s);
        }
        return;
    }
    make_idle(w, s);
    keep_within_budget(w);
}

slot* memory_system::containing(const void* address) const noexcept {
    if (!arena_.contains(address)) {
        return nullptr;
    }
    // A block begins at a multiple of its size, so the head of an address is one of a few units.
    const std::size_t unit = arena_.offset_of(address) >> unit_shift;
    for (unsigned order = 0; order <= top_order_; ++order) {
        slot& head = table_[unit & ~((std::size_t{1} << order) - 1)];
        if (head.state.load(std::memory_order_relaxed) == slot::use::live) {
            return head.order >= order ? &head : nullptr;
        }
    }
    return nullptr;
}

const std::byte* memory_system::payload(const slot& s) const noexcept {
    return arena_.master_at(offset_of(s) + page_size);
}

bool memory_system::show(slot& s, window& w) noexcept {
    if (s.is_mapped(w.index)) {
        return true;
    }
    while (!count_mappings(2)) {
        if (!purge_oldest(w)) {
            return false;
        }
    }
    const std::lock_guard guard(lock_);
    if (!arena_.map_foreign(w.index, offset_of(s), s.block_size())) {
        mappings_.fetch_sub(2, std::memory_order_relaxed);
        return false;
    }
    slot::set(s.mapped, w.index);
    return true;
}

bool memory_system::count_mappings(std::size_t more) noexcept {
    if (mappings_.fetch_add(more, std::memory_order_relaxed) + more <= options_.mapping_cap) {
        return true;
    }
    mappings_.fetch_sub(more, std::memory_order_relaxed);
    return false;
}

} // namespace isthmus::core

#include "core/slot.hpp"

#include "core/memory.hpp"
#include "core/stats.hpp"

#include <cassert>

namespace isthmus::core {
namespace protocol {
namespace {

/// Applies `step` to the word until it sticks; returns the word before and after.
template <typename Step> std::pair<std::uint64_t, std::uint64_t> update(slot& s, Step step) noexcept {
    std::uint64_t before = s.word.load(std::memory_order_relaxed);
    std::uint64_t after = step(before);
    // acq_rel: what the dropper of a share read or wrote happens before whatever the last one makes happen.
    while (
        !s.word.compare_exchange_weak(before, after, std::memory_order_acq_rel, std::memory_order_relaxed)) {
        after = step(before);
    }
    return {before, after};
}

bool nobody(std::uint64_t word) noexcept {
    return (word & (shares_mask | queued)) == 0;
}

} // namespace

bool share_by_owner(slot& s) noexcept {
    const auto [before, after] = update(s, [](std::uint64_t w) { return (w + 1) | keeper; });
    assert((before & orphan) == 0 && (after & shares_mask) != 0);
    return (before & keeper) == 0;
}

after_settle settle(slot& s) noexcept {
    const auto [before, after] = update(s, [](std::uint64_t w) {
        w &= ~queued;
        return (w & shares_mask) == 0 ? w & ~keeper : w;
    });
    if ((after & orphan) != 0) {
        return nobody(after) ? after_settle::free_block : after_settle::nothing;
    }
    const bool ended = (before & keeper) != 0 && (after & keeper) == 0;
    return ended ? after_settle::drop_keeper : after_settle::nothing;
}

bool settle_without_owner(slot& s) noexcept {
    const auto [before, after] = update(s, [](std::uint64_t w) { return w & ~queued; });
    return (after & orphan) != 0 && nobody(after) && !nobody(before);
}

bool make_orphan(slot& s) noexcept {
    const auto [before, after] = update(s, [](std::uint64_t w) { return (w | orphan) & ~keeper; });
    assert((before & orphan) == 0);
    return nobody(after);
}

after_drop drop(slot& s) noexcept {
    const auto [before, after] = update(s, [](std::uint64_t w) {
        const std::uint64_t less = w - 1;
        const bool claims = (less & (shares_mask | queued | orphan)) == 0;
        return claims ? less | queued : less;
    });
    assert((before & shares_mask) != 0);
    if ((after & shares_mask) != 0) {
        return after_drop::still_shared;
    }
    if ((before & orphan) != 0) {
        return (after & queued) == 0 ? after_drop::free_block : after_drop::still_shared;
    }
    return (before & queued) == 0 ? after_drop::post_release : after_drop::still_shared;
}

} // namespace protocol

void add_share(slot& s) noexcept {
    // Relaxed: the caller holds a share, so nothing can be ended by anyone meanwhile.
    s.word.fetch_add(1, std::memory_order_relaxed);
    statistics::add(counter::shares_taken);
}

void drop_share(slot& s) noexcept {
    statistics::add(counter::shares_dropped);
    switch (protocol::drop(s)) {
    case protocol::after_drop::still_shared:
        break;
    case protocol::after_drop::post_release:
        memory().post_release(s);
        break;
    case protocol::after_drop::free_block:
        memory().give_back_orphan(s);
        break;
    }
}

} // namespace isthmus::core

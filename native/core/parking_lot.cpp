#include "core/parking_lot.hpp"

#include "core/immortal.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <pthread.h>

namespace isthmus::core::parking_lot {
namespace {

constexpr unsigned bucket_bits = 8;

struct lot {
    std::array<bucket, std::size_t{1} << bucket_bits> buckets;

    lot() noexcept {
        // Whoever waits in the parent doesn't exist in the child, whoever held a lock neither.
        pthread_atfork(nullptr, nullptr, [] {
            for (bucket& each : immortal<lot>().buckets) {
                new (&each) bucket;
            }
        });
    }
};

place* next_at(const void* address, parked* from) noexcept {
    while (from != nullptr && static_cast<place*>(from)->at != address) {
        from = from->next;
    }
    return static_cast<place*>(from);
}

} // namespace

bucket& bucket_of(const void* address) noexcept {
    // Fibonacci hashing: neighbouring elements, and the same element of many pages, part company.
    const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(address) * 0x9E3779B97F4A7C15ULL;
    return immortal<lot>().buckets[mixed >> (64 - bucket_bits)];
}

outcome park(bucket& chosen, std::unique_lock<short_lock> guard, const void* address, party& by,
             futex::deadline until, wait_site& site) noexcept {
    place mine(address, by.id());
    chosen.waiting.push_back(mine);
    guard.unlock();
    const outcome how = mine.self.wait(by, until, site, chosen.spinning);
    if (how != outcome::ok) { // whoever wakes a thread takes its place away first
        guard.lock();
        if (mine.linked) {
            chosen.waiting.unlink(mine);
        }
    }
    return how;
}

std::size_t unpark(const void* address, std::size_t count) noexcept {
    bucket& chosen = bucket_of(address);
    // Read by a write, so that not even a plain store of the caller's to the element can come after it.
    if (count == 0 || chosen.near.fetch_add(0, std::memory_order_seq_cst) == 0) {
        return 0;
    }
    std::array<wakeup, 16> owed; // system calls for after the lock; what is more is made under it
    std::size_t woken = 0;
    {
        const std::lock_guard guard(chosen.lock);
        place* next = nullptr;
        for (place* p = next_at(address, chosen.waiting.front()); p != nullptr && woken < count; p = next) {
            next = next_at(address, p->next);
            chosen.waiting.unlink(*p);
            if (p->self.complete(outcome::ok, owed[std::min(woken, owed.size() - 1)])) {
                ++woken;
            }
        }
    }
    for (wakeup& each : owed) {
        each.fire();
    }
    return woken;
}

std::size_t parked_at(const void* address) noexcept {
    bucket& chosen = bucket_of(address);
    const std::lock_guard guard(chosen.lock);
    std::size_t found = 0;
    for (const place* p = next_at(address, chosen.waiting.front()); p != nullptr;
         p = next_at(address, p->next)) {
        ++found;
    }
    return found;
}

} // namespace isthmus::core::parking_lot

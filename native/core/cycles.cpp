#include "core/cycles.hpp"

#include "core/immortal.hpp"
#include "core/lock.hpp"

#include <mutex>
#include <new>
#include <unordered_map>

namespace isthmus::core {

/// Linked through the conduits themselves. Guarded by suspicion::guard.
class suspect_list {
  public:
    void add(conduit& c) noexcept {
        if (c.suspected_) {
            return;
        }
        c.suspected_ = true;
        c.previous_suspect_ = nullptr;
        c.next_suspect_ = first_;
        if (first_ != nullptr) {
            first_->previous_suspect_ = &c;
        }
        first_ = &c;
        ++size_;
    }
    void remove(conduit& c) noexcept {
        if (!c.suspected_) {
            return;
        }
        c.suspected_ = false;
        (c.previous_suspect_ != nullptr ? c.previous_suspect_->next_suspect_ : first_) = c.next_suspect_;
        if (c.next_suspect_ != nullptr) {
            c.next_suspect_->previous_suspect_ = c.previous_suspect_;
        }
        --size_;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Those that are not being destroyed. `into` has room for all.
    void collect(std::vector<std::shared_ptr<conduit>>& into) const noexcept {
        for (conduit* each = first_; each != nullptr; each = each->next_suspect_) {
            if (std::shared_ptr<conduit> held = each->weak_from_this().lock()) {
                into.push_back(std::move(held));
            }
        }
    }

  private:
    conduit* first_ = nullptr;
    std::size_t size_ = 0;
};

namespace {

using owned_conduits = std::vector<std::shared_ptr<conduit>>;

struct suspicion {
    short_lock guard;                  ///< a leaf: may be taken under a conduit's locks
    suspect_list suspects;             ///< under guard
    std::atomic<std::size_t> since{0}; ///< suspicions since the last collection
    std::atomic<std::size_t> alive{0}; ///< suspects that the last collection found alive
    std::atomic<bool> wanted{false};   ///< a collection was asked for while one was under way
    std::atomic<bool> collecting{false};
};

suspicion& all() noexcept {
    return immortal<suspicion>();
}

struct node {
    std::shared_ptr<conduit> what;
    std::uint64_t claimed = 0; ///< how often, before the first survey
    conduit::claims seen;
    std::uint32_t inside = 0; ///< of its ends in flight, those buffered in suspects
    bool alive = false;
};
using graph = std::unordered_map<conduit*, node>;

owned_conduits suspects_now() {
    suspicion& s = all();
    owned_conduits found;
    const std::lock_guard guard(s.guard);
    found.reserve(s.suspects.size());
    s.suspects.collect(found);
    return found;
}

graph survey(const owned_conduits& suspects) {
    std::vector<std::uint64_t> claimed;
    claimed.reserve(suspects.size());
    for (const std::shared_ptr<conduit>& each : suspects) {
        claimed.push_back(each->times_claimed());
    }
    graph known;
    for (std::size_t i = 0; i < suspects.size(); ++i) {
        const std::shared_ptr<conduit>& each = suspects[i];
        conduit::claims seen = each->survey();
        if (seen.holders == 0 && seen.in_flight > 0) {
            known.emplace(each.get(), node{each, claimed[i], std::move(seen)});
        }
    }
    for (auto& [at, from] : known) {
        for (conduit* const to : from.seen.carried) {
            if (const auto found = known.find(to); found != known.end()) {
                ++found->second.inside;
            }
        }
    }
    return known;
}

/// Alive: whoever has an end in flight outside of all suspects, or was claimed since the surveys began, and
/// what lies buffered in those alive. The surveys were not made at one moment, but of all others nothing has
/// moved since the first: who takes a message out of a buffer holds its conduit, which he had to claim.
void mark(graph& known) {
    std::vector<node*> reached;
    for (auto& [at, each] : known) {
        if (each.inside < each.seen.in_flight || each.what->times_claimed() != each.claimed) {
            each.alive = true;
            reached.push_back(&each);
        }
    }
    while (!reached.empty()) {
        const node* const from = reached.back();
        reached.pop_back();
        for (conduit* const to : from->seen.carried) {
            if (const auto found = known.find(to); found != known.end() && !found->second.alive) {
                found->second.alive = true;
                reached.push_back(&found->second);
            }
        }
    }
}

owned_conduits garbage_now() {
    graph known = survey(suspects_now());
    mark(known);
    owned_conduits garbage;
    for (auto& [at, each] : known) {
        if (!each.alive) {
            garbage.push_back(each.what);
        }
    }
    all().alive.store(known.size() - garbage.size(), std::memory_order_relaxed);
    return garbage;
}

} // namespace

void suspect(conduit& c) noexcept {
    suspicion& s = all();
    {
        const std::lock_guard guard(s.guard);
        s.suspects.add(c);
    }
    constexpr std::size_t share = 8; // of those alive: a suspicion costs as many surveys on average
    const std::size_t since = s.since.fetch_add(1, std::memory_order_relaxed) + 1;
    if (since > s.alive.load(std::memory_order_relaxed) / share) {
        collect_cycles();
    }
}

void forget_suspect(conduit& c) noexcept {
    suspicion& s = all();
    const std::lock_guard guard(s.guard);
    s.suspects.remove(c);
}

void lock_suspicion() noexcept {
    all().guard.lock();
}

void unlock_suspicion() noexcept {
    all().guard.unlock();
}

void forget_collector() noexcept {
    all().collecting.store(false);
}

void collect_cycles() noexcept {
    suspicion& s = all();
    s.wanted.store(true);
    // Dropping what garbage holds may ask for another collection: on this thread, or on one that finds us
    // collecting and leaves it to us.
    while (s.wanted.load()) {
        if (s.collecting.exchange(true)) {
            return;
        }
        s.wanted.store(false);
        s.since.store(0, std::memory_order_relaxed);
        try {
            for (const std::shared_ptr<conduit>& each : garbage_now()) {
                each->abandon();
            }
        } catch (const std::bad_alloc&) { // what is left stays suspect
        }
        s.collecting.store(false);
    }
}

} // namespace isthmus::core

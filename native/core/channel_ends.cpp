/// The rare half of a channel: who holds, associates, closes, dies; what follows from it; the list of all
/// channels.
#include "core/channel.hpp"

#include <map>
#include <mutex>

namespace isthmus::core {
namespace {

/// Every channel that exists, so that a death reaches all of them. Never destroyed: threads may outlive
/// statics.
struct registry {
    short_lock guard; ///< taken before no other lock, never under one
    std::map<channel_id, std::weak_ptr<channel>> channels;
};

registry& all() {
    static registry* const only = new registry;
    return *only;
}

/// The first live channel whose id is above `id`. Allocates nothing.
std::shared_ptr<channel> next_after(channel_id id) noexcept {
    registry& r = all();
    const std::lock_guard guard(r.guard);
    for (auto at = r.channels.upper_bound(id); at != r.channels.end(); ++at) {
        if (std::shared_ptr<channel> found = at->second.lock()) {
            return found;
        }
    }
    return nullptr;
}

} // namespace

std::shared_ptr<channel> channel::create(std::optional<std::size_t> capacity) {
    static std::atomic<channel_id> last{0};
    std::shared_ptr<channel> made(new channel(last.fetch_add(1, std::memory_order_relaxed) + 1, capacity));
    registry& r = all();
    const std::lock_guard guard(r.guard);
    r.channels.emplace(made->id(), made);
    return made;
}

channel::~channel() {
    registry& r = all();
    const std::lock_guard guard(r.guard);
    r.channels.erase(id_);
}

std::shared_ptr<channel> channel::find(channel_id id) {
    registry& r = all();
    const std::lock_guard guard(r.guard);
    const auto at = r.channels.find(id);
    return at == r.channels.end() ? nullptr : at->second.lock();
}

std::vector<std::shared_ptr<channel>> channel::live() {
    std::vector<std::shared_ptr<channel>> found;
    for (std::shared_ptr<channel> c = next_after(0); c; c = next_after(c->id())) {
        found.push_back(c);
    }
    return found;
}

void party_died_everywhere(party& who) noexcept {
    for (std::shared_ptr<channel> c = next_after(0); c; c = next_after(c->id())) {
        c->party_died(who);
    }
}

// --- ends

void channel::add_holder(end which, party& by) {
    const both_locks guard(*this);
    ++side(which).enter(by.id()).holders; // an end that opens ends nothing: nobody need be woken
}

void channel::drop_holder(end which, party& by) noexcept {
    backlog dropped;
    const both_locks guard(*this);
    side(which).drop_holder(by.id(), by.closing());
    settle_under_both(dropped);
}

void channel::add_in_flight(end which) noexcept {
    const both_locks guard(*this);
    side(which).add_in_flight();
}

void channel::drop_in_flight(end which) noexcept {
    backlog dropped;
    const both_locks guard(*this);
    side(which).drop_in_flight();
    settle_under_both(dropped);
}

bool channel::close(end which, party& by) {
    backlog dropped;
    const both_locks guard(*this);
    const bool first = side(which).close(side(which).enter(by.id()));
    settle_under_both(dropped);
    return first;
}

void channel::party_died(party& who) noexcept {
    backlog dropped;
    const both_locks guard(*this);
    receivers_.died(who.id());
    senders_.died(who.id());
    settle_under_both(dropped);
}

bool channel::is_closed() noexcept {
    backlog dropped;
    const both_locks guard(*this);
    settle_under_both(dropped); // the last buffered message may have left since
    return closed_;
}

bool channel::is_closed(end which, const party& by) noexcept {
    const both_locks guard(*this);
    const membership* const m = side(which).find(by.id());
    return m != nullptr && m->closed;
}

std::vector<party_id> channel::interpreters(end which) {
    const both_locks guard(*this);
    return side(which).associated();
}

std::size_t channel::size() noexcept {
    const both_locks guard(*this);
    return static_cast<std::size_t>(sent_ - received_.load(std::memory_order_relaxed));
}

std::uint32_t channel::parked_receivers() const noexcept {
    return parked_receivers_.load(std::memory_order_acquire);
}

std::uint32_t channel::parked_senders() const noexcept {
    return parked_senders_.load(std::memory_order_acquire);
}

// --- what follows

outcome channel::refusal_under_both(const association& own, party_id by) const noexcept {
    if (closed_) {
        return outcome::closed;
    }
    const membership* const m = own.find(by);
    if (m == nullptr || !m->closed) {
        return outcome::ok;
    }
    return finished_under_both() ? outcome::closed : outcome::released;
}

outcome channel::why_send_ends_under_both(party_id by) const noexcept {
    const outcome refused = refusal_under_both(senders_, by);
    return refused == outcome::ok && receivers_.over_for(by) ? outcome::closed : refused;
}

outcome channel::why_recv_ends_under_both(party_id by) const noexcept {
    const outcome refused = refusal_under_both(receivers_, by);
    return refused == outcome::ok && senders_.over_for(by) ? outcome::closed : refused;
}

bool channel::finished_under_both() const noexcept {
    const bool ends_in_flight = senders_.in_flight() + receivers_.in_flight() > 0;
    if (!senders_.ended() || !receivers_.ended() || ends_in_flight || !in_.empty() || !out_.empty()) {
        return false;
    }
    // Open ends that were not used prolong nothing unless two parties could still meet over them: the open
    // holder of one end finds the other one over if nobody but itself holds that.
    const party_id receiver = receivers_.some_open_holder();
    return receiver == 0 || !senders_.open_anywhere() ||
           (!senders_.open_elsewhere(receiver) && !receivers_.open_elsewhere(receiver));
}

void channel::settle_under_both(backlog& dropped) noexcept {
    welcome_receiver_ = 0;
    welcome_sender_ = 0;
    if (receivers_.unreachable() && (receivers_.ended() || senders_.unreachable())) {
        // Nobody is left to receive: what is buffered gives its shares back now, not when the channel goes.
        out_.append(in_);
        dropped.swap(out_);
        received_.store(sent_, std::memory_order_relaxed);
    }
    closed_ = closed_ || finished_under_both();
    end_parked_under_both(end::recv);
    end_parked_under_both(end::send);
}

void channel::end_parked_under_both(end which) noexcept {
    const parking_queue& queue = which == end::recv ? waiting_receivers_ : waiting_senders_;
    for (parked* p = queue.front(); p != nullptr;) {
        parked* const next = p->next;
        const outcome why =
            which == end::recv ? why_recv_ends_under_both(p->by) : why_send_ends_under_both(p->by);
        if (why != outcome::ok) {
            wakeup owed;
            unpark_under_tail(which, *p);
            static_cast<void>(p->who->complete(why, owed, p->tag));
            owed.fire(); // under the locks: rare, and the call neither blocks nor calls back
        }
        p = next;
    }
}

} // namespace isthmus::core

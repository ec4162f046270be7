/// The rare half of a channel: who holds, associates, closes, dies; what follows from it; the list of all
/// channels.
#include "core/channel.hpp"

#include "core/cycles.hpp"
#include "core/immortal.hpp"

#include <mutex>

namespace isthmus::core {

directory<channel>& channel::all() noexcept {
    return immortal<directory<channel>>();
}

std::shared_ptr<channel> channel::create(std::optional<std::size_t> capacity) {
    const channel_id id = all().next_id();
    std::shared_ptr<channel> made(new channel(id, capacity));
    all().enter(id, made);
    return made;
}

channel::~channel() {
    all().forget(id_);
}

// --- ends

void channel::add_holder(end which, party& by) {
    const both_locks guard(*this);
    ++side(which).enter(by.id()).holders; // an end that opens ends nothing: nobody need be woken
    note_claim();
}

void channel::drop_holder(end which, party& by) noexcept {
    bool alone = false;
    {
        backlog dropped;
        const both_locks guard(*this);
        side(which).drop_holder(by.id(), by.closing());
        if (const membership* const m = side(which).find(by.id()); m == nullptr || m->holders == 0) {
            drop_watch_under_locks(which, by.id());
        }
        settle_under_both(dropped);
        alone = unheld_under_both();
    }
    if (alone) {
        suspect(*this);
    }
}

void channel::add_in_flight(end which) noexcept {
    const both_locks guard(*this);
    side(which).add_in_flight();
    note_claim();
}

void channel::drop_in_flight(end which) noexcept {
    bool alone = false;
    {
        backlog dropped;
        const both_locks guard(*this);
        side(which).drop_in_flight();
        settle_under_both(dropped);
        alone = unheld_under_both();
    }
    if (alone) {
        suspect(*this);
    }
}

bool channel::unheld_under_both() const noexcept {
    return receivers_.holders() + senders_.holders() == 0 &&
           receivers_.in_flight() + senders_.in_flight() > 0;
}

bool channel::close(end which, party& by) {
    backlog dropped;
    const both_locks guard(*this);
    const bool first = side(which).close(side(which).enter(by.id()));
    settle_under_both(dropped);
    return first;
}

outcome channel::poison(end which, party& by, std::string reason) {
    backlog dropped;
    auto kept = std::make_shared<const std::string>(std::move(reason));
    const both_locks guard(*this);
    if (const outcome refused = refusal_under_both(side(which), by.id()); refused != outcome::ok) {
        return refused;
    }
    poison_ = std::move(kept);
    settle_under_both(dropped);
    return outcome::ok;
}

std::shared_ptr<const std::string> channel::poison() noexcept {
    const both_locks guard(*this);
    return poison_;
}

void channel::party_died(party& who) noexcept {
    backlog dropped;
    const both_locks guard(*this);
    receivers_.died(who.id());
    senders_.died(who.id());
    drop_watch_under_locks(end::recv, who.id());
    drop_watch_under_locks(end::send, who.id());
    settle_under_both(dropped);
}

conduit::claims channel::survey() {
    const both_locks guard(*this);
    claims found{
        receivers_.holders() + senders_.holders(), receivers_.in_flight() + senders_.in_flight(), {}};
    if (!unheld_under_both()) {
        forget_suspect(*this);
        return found;
    }
    for (const backlog* const each : {&out_, &in_}) {
        each->for_each([&](const message& m) { m.collect_carried(found.carried); });
    }
    return found;
}

void channel::abandon() noexcept {
    backlog dropped;
    const both_locks guard(*this);
    drop_buffered_under_both(dropped);
    closed_ = true;
    settle_under_both(dropped);
}

void channel::under_locks(locked_body body) {
    const both_locks guard(*this);
    body.run(*this, body.context);
}

void channel::lock_all() noexcept {
    head_.lock();
    tail_.lock();
}

void channel::unlock_all() noexcept {
    tail_.unlock();
    head_.unlock();
}

void channel::forget_parked_under_locks() noexcept {
    waiting_receivers_.forget();
    waiting_senders_.forget();
    parked_receivers_.store(0, std::memory_order_release);
    parked_senders_.store(0, std::memory_order_release);
}

bool channel::ready_under_locks(end which, party_id who) noexcept {
    const outcome ended = which == end::recv ? why_recv_ends_under_both(who) : why_send_ends_under_both(who);
    return ended != outcome::ok || possible_under_both(which, nullptr);
}

channel::statistics channel::look() noexcept {
    const both_locks guard(*this);
    return look_under_both();
}

channel::portrait channel::draw() {
    const both_locks guard(*this);
    return {.counts = look_under_both(),
            .closed = closed_ || finished_under_both(),
            .poisoned = poison_ != nullptr,
            .receivers = receivers_.associated(),
            .senders = senders_.associated()};
}

channel::statistics channel::look_under_both() const noexcept {
    const std::uint64_t taken = received_.load(std::memory_order_relaxed);
    return {.sent = sent_ + handed_over_,
            .received = taken - dropped_ + handed_over_,
            .dropped = dropped_,
            .buffered = static_cast<std::size_t>(sent_ - taken),
            .waiting_receivers = parked_receivers_.load(std::memory_order_relaxed),
            .waiting_senders = parked_senders_.load(std::memory_order_relaxed)};
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

bool channel::is_last_use(end which, const party& by) noexcept {
    const both_locks guard(*this);
    const membership* const m = side(which).find(by.id());
    if (m == nullptr || m->holders != 1 || !m->associated || by.closing()) {
        return false;
    }
    const bool left = which == end::recv && (!in_.empty() || !out_.empty());
    return left || (which == end::recv ? why_recv_ends_under_both(by.id())
                                       : why_send_ends_under_both(by.id())) == outcome::ok;
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
    if (poison_ != nullptr) {
        return outcome::poisoned;
    }
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
    if (poison_ != nullptr || (receivers_.unreachable() && (receivers_.ended() || senders_.unreachable()))) {
        // Nobody is left to receive: what is buffered gives its shares back now, not when the channel goes.
        drop_buffered_under_both(dropped);
    }
    closed_ = closed_ || poison_ != nullptr || finished_under_both();
    end_parked_under_both(end::recv);
    end_parked_under_both(end::send);
    refresh_under_locks();
}

void channel::drop_buffered_under_both(backlog& dropped) noexcept {
    const std::uint64_t taken = received_.load(std::memory_order_relaxed);
    dropped_ += sent_ - taken;
    received_.store(sent_, std::memory_order_relaxed);
    dropped.append(out_);
    dropped.append(in_);
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

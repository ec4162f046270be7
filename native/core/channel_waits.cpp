/// How operations on a channel wait: parked in its queues, alone or as a case of a select; and many at once.
#include "core/channel.hpp"

#include <mutex>

namespace isthmus::core {

// --- parking

void channel::park_under_both(end which, parked& p) noexcept {
    parked_count& count = which == end::recv ? parked_receivers_ : parked_senders_;
    (which == end::recv ? waiting_receivers_ : waiting_senders_).push_back(p);
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void channel::unpark_under_tail(end which, parked& p) noexcept {
    parked_count& count = which == end::recv ? parked_receivers_ : parked_senders_;
    (which == end::recv ? waiting_receivers_ : waiting_senders_).unlink(p);
    count.store(count.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

outcome channel::wait_parked(end which, parked& p, party& by, futex::deadline until,
                             wait_site& site) noexcept {
    const outcome result = p.who->wait(by, until, site, which == end::recv ? recv_spin_ : send_spin_);
    switch (result) {
    case outcome::ok:
    case outcome::closed:
    case outcome::released:
    case outcome::poisoned:
        return result; // ended by the channel, which has unlinked it
    default:
        unpark(which, p);
        return result;
    }
}

// --- cases of a select

outcome channel::attempt(end which, party& by, message& m) {
    return which == end::recv ? try_recv(by, m) : try_send(by, m);
}

bool channel::possible_under_both(end which, const waiter* who) noexcept {
    if (which == end::recv) {
        return !out_.empty() || !in_.empty() || waiting_senders_.has_other_than(who);
    }
    return waiting_receivers_.has_other_than(who) || (waiting_senders_.empty() && !full_under_tail());
}

outcome channel::park(end which, party& by, parked& place) {
    {
        const both_locks guard(*this);
        if (const outcome refused = refusal_under_both(side(which), by.id()); refused != outcome::ok) {
            return refused;
        }
        if (which == end::send && receivers_.over_for(by.id())) {
            return outcome::closed;
        }
        side(which).associate(side(which).enter(by.id()));
        if (possible_under_both(which, place.who)) {
            return outcome::ok;
        }
        if (which == end::recv && senders_.over_for(by.id())) {
            return outcome::closed;
        }
        park_under_both(which, place);
    }
    note_change();
    return outcome::would_block;
}

void channel::unpark(end which, parked& place) noexcept {
    {
        const std::lock_guard guard(tail_);
        if (place.linked) {
            unpark_under_tail(which, place);
        }
    }
    note_change();
}

// --- many at once

outcome channel::try_send_many(party& by, std::span<message> offered, std::size_t& sent) {
    sent = 0;
    if (offered.empty()) {
        return outcome::ok;
    }
    // The first one settles whether this party may send at all.
    outcome result = try_send(by, offered.front());
    if (result != outcome::ok) {
        return result;
    }
    sent = 1;
    wakeup owed;
    const auto settle = [&] {
        owed.fire();
        note_change();
    };
    try {
        const std::lock_guard tail(tail_);
        while (sent < offered.size() && result == outcome::ok) {
            // Ended meanwhile: the next call says why.
            result =
                may_send_under_tail(by.id()) ? offer_under_tail(offered[sent], owed) : outcome::would_block;
            sent += result == outcome::ok ? 1 : 0;
        }
    } catch (...) {
        settle();
        throw;
    }
    settle();
    return result;
}

outcome channel::try_recv_many(party& by, std::span<message> room, std::size_t& received) {
    received = 0;
    outcome result = outcome::ok;
    while (received < room.size() && result == outcome::ok) {
        result = try_recv(by, room[received]); // also lets in senders that wait for room
        received += result == outcome::ok ? 1 : 0;
        const std::lock_guard head(head_);
        while (received < room.size() && parked_senders_.load(std::memory_order_relaxed) == 0 &&
               may_recv_under_head(by.id()) && take_buffered_under_head(room[received])) {
            ++received;
        }
    }
    note_change();
    return received > 0 ? outcome::ok : result;
}

} // namespace isthmus::core

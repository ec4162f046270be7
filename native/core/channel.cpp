#include "core/channel.hpp"

#include <mutex>
#include <new>

namespace isthmus::core {
namespace {

/// An operation that met an empty (full) buffer of a stream looks again a few times before it parks, and
/// leaves the other side alone in between, longer each time: every look costs the other side a cache line,
/// which pays when several messages have gathered. About 0.4, 0.8 and 1.5 microseconds.
constexpr int looks = 3;
constexpr int first_pauses = 16;

void let_gather(int look) noexcept {
    for (int i = 0; i < first_pauses << look; ++i) {
        futex::relax();
    }
}

/// Messages handed to parked receivers one by one look the same whether the sender streams or awaits an
/// answer. So after this many the next is left to gather once, to see whether more follow it.
constexpr std::uint32_t waits_per_probe = 64;

bool passed(futex::deadline until) noexcept {
    return until && futex::now() >= *until;
}

} // namespace

// --- sending

outcome channel::try_send(party& by, message& m) {
    return send_or_park(by.id(), m, nullptr);
}

outcome channel::send(party& by, message& m, futex::deadline until, wait_site& site) {
    if (capacity_ != 0 || until) {
        outcome early = try_send(by, m);
        for (int i = 0; early == outcome::would_block && capacity_ != 0 && i < looks; ++i) {
            let_gather(i);
            early = try_send(by, m);
        }
        if (early != outcome::would_block) {
            return early;
        }
        if (passed(until)) {
            return outcome::timed_out;
        }
    }
    parked_operation self(by.id());
    outcome result = send_or_park(by.id(), m, &self);
    if (result == outcome::would_block) {
        result = wait_parked(end::send, self.place, by, until, site);
        m = std::move(self.slot); // empty again if it was taken
    }
    return result;
}

outcome channel::send_or_park(party_id by, message& m, parked_operation* self) {
    wakeup owed;
    outcome result = outcome::would_block;
    std::unique_lock tail(tail_);
    const bool known = may_send_under_tail(by);
    if (known) [[likely]] {
        result = offer_under_tail(m, owed);
    }
    tail.unlock();
    if (!known || (self != nullptr && result == outcome::would_block)) {
        const both_locks guard(*this); // lock order: the head lock comes first
        result = send_under_both(by, m, owed);
        if (self != nullptr && result == outcome::would_block) {
            self->slot = std::move(m);
            park_under_both(end::send, self->place);
        }
    }
    owed.fire();
    note_change();
    return result;
}

bool channel::may_send_under_tail(party_id by) noexcept {
    if (welcome_sender_ == by) [[likely]] {
        return true;
    }
    const membership* const m = senders_.find(by);
    if (closed_ || m == nullptr || !m->associated || receivers_.over_for(by)) { // poisoned ones are closed
        return false;
    }
    welcome_sender_ = by;
    return true;
}

outcome channel::send_under_both(party_id by, message& m, wakeup& owed) {
    if (const outcome refused = why_send_ends_under_both(by); refused != outcome::ok) {
        return refused;
    }
    senders_.associate(senders_.enter(by));
    return offer_under_tail(m, owed);
}

outcome channel::offer_under_tail(message& m, wakeup& owed) {
    if (hand_over_under_tail(m, owed)) {
        return outcome::ok;
    }
    if (!waiting_senders_.empty() || full_under_tail()) {
        return outcome::would_block; // C2; room that a receiver just made is for those parked
    }
    if (!in_.push(m, spares_)) {
        throw std::bad_alloc();
    }
    ++sent_;
    return outcome::ok;
}

bool channel::hand_over_under_tail(message& m, wakeup& owed) noexcept {
    while (parked* const p = waiting_receivers_.front()) {
        unpark_under_tail(end::recv, *p);
        // The message goes first: once completed, the receiver may be gone with it. If its wait has ended
        // otherwise, it can't look at its message before it has passed through our lock.
        message& theirs = *p->cargo;
        theirs = std::move(m);
        if (p->who->complete(outcome::ok, owed, p->tag)) {
            ++handed_over_;
            return true;
        }
        m = std::move(theirs);
    }
    return false;
}

bool channel::full_under_tail() noexcept {
    if (!capacity_ || sent_ - received_seen_ < *capacity_) {
        return false;
    }
    received_seen_ = received_.load(std::memory_order_relaxed); // a count only: nothing is read through it
    return sent_ - received_seen_ >= *capacity_;
}

// --- receiving

outcome channel::try_recv(party& by, message& out) {
    out.reset();
    return recv_or_park(by.id(), out, nullptr);
}

outcome channel::recv(party& by, message& out, futex::deadline until, wait_site& site) {
    const bool gathers = capacity_ != 0 && worth_gathering();
    if (gathers || until) {
        outcome early = try_recv(by, out);
        if (early == outcome::would_block && gathers) {
            early = recv_gathered(by, out);
        }
        if (early != outcome::would_block) {
            return early;
        }
        if (passed(until)) {
            return outcome::timed_out;
        }
    }
    out.reset();
    parked_operation self(by.id());
    outcome result = recv_or_park(by.id(), out, &self);
    if (result == outcome::would_block) {
        result = wait_parked(end::recv, self.place, by, until, site);
        out = std::move(self.slot);
    }
    return result;
}

outcome channel::recv_or_park(party_id by, message& out, parked_operation* self) {
    wakeup owed;
    outcome result = outcome::ok;
    {
        const std::lock_guard head(head_);
        if (!may_recv_under_head(by) || !take_buffered_under_head(out)) {
            const std::lock_guard tail(tail_);
            result = recv_under_both(by, out, owed);
            if (self != nullptr && result == outcome::would_block) {
                park_under_both(end::recv, self->place);
            }
        } else if (parked_senders_.load(std::memory_order_relaxed) !=
                   0) { // grows under head, too: not outdated
            const std::lock_guard tail(tail_);
            refill_under_both(owed);
        }
    }
    owed.fire();
    note_change();
    return result;
}

bool channel::worth_gathering() noexcept {
    if (last_batch_.load(std::memory_order_relaxed) != batch::none) {
        return true;
    }
    const std::uint32_t waits = waits_.load(std::memory_order_relaxed) + 1;
    waits_.store(waits, std::memory_order_relaxed); // threads that race only probe at another time
    return waits % waits_per_probe == 0;
}

outcome channel::recv_gathered(party& by, message& out) {
    const int most = last_batch_.load(std::memory_order_relaxed) == batch::none ? 1 : looks;
    for (int i = 0; i < most; ++i) {
        let_gather(i);
        if (const outcome result = try_recv(by, out); result != outcome::would_block) {
            if (last_batch_.load(std::memory_order_relaxed) == batch::one) {
                last_batch_.store(batch::none, std::memory_order_relaxed); // not worth the delay
            }
            return result;
        }
    }
    last_batch_.store(batch::none, std::memory_order_relaxed);
    return outcome::would_block;
}

bool channel::may_recv_under_head(party_id by) noexcept {
    if (welcome_receiver_ == by) [[likely]] {
        return true;
    }
    const membership* const m = receivers_.find(by);
    if (closed_ || m == nullptr || !m->associated) {
        return false;
    }
    welcome_receiver_ = by;
    return true;
}

bool channel::take_buffered_under_head(message& out) noexcept {
    if (!out_.pop(out, emptied_)) {
        return false;
    }
    received_.store(received_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return true;
}

outcome channel::recv_under_both(party_id by, message& out, wakeup& owed) {
    if (const outcome refused = refusal_under_both(receivers_, by); refused != outcome::ok) {
        return refused;
    }
    receivers_.associate(receivers_.enter(by));
    if (out_.empty() && !in_.empty()) {
        last_batch_.store(in_.several() ? batch::several : batch::one, std::memory_order_relaxed);
        out_.swap(in_);
        spares_.take_all(emptied_);
    }
    if (take_buffered_under_head(out)) {
        refill_under_both(owed);
        return outcome::ok;
    }
    if (take_from_sender_under_both(out, owed)) {
        ++handed_over_;
        return outcome::ok;
    }
    return senders_.over_for(by) ? outcome::closed : outcome::would_block;
}

void channel::refill_under_both(wakeup& owed) noexcept {
    // Without memory the senders stay parked; receivers that find the buffer empty take from them directly.
    while (!waiting_senders_.empty() && !full_under_tail() && spares_.stock()) {
        message taken;
        if (!take_from_sender_under_both(taken, owed)) {
            return;
        }
        static_cast<void>(in_.push(taken, spares_)); // stocked: can't fail
        ++sent_;
    }
}

bool channel::take_from_sender_under_both(message& out, wakeup& owed) noexcept {
    while (parked* const p = waiting_senders_.front()) {
        unpark_under_tail(end::send, *p);
        message& theirs = *p->cargo; // first, as in hand_over_under_tail
        out = std::move(theirs);
        if (p->who->complete(outcome::ok, owed, p->tag)) {
            return true;
        }
        theirs = std::move(out);
    }
    return false;
}

} // namespace isthmus::core

#include "core/queue.hpp"

#include "core/cycles.hpp"
#include "core/immortal.hpp"
#include "core/select.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <new>

namespace isthmus::core {
namespace {

/// Marks an item that leaves the queue in the same critical section.
constexpr party_id leaving = ~party_id{0};

} // namespace

directory<queue>& queue::all() noexcept {
    return immortal<directory<queue>>();
}

std::shared_ptr<queue> queue::create(std::int64_t maxsize, unbound fallback) {
    const queue_id id = all().next_id();
    std::shared_ptr<queue> made(new queue(id, maxsize, fallback));
    all().enter(id, made);
    return made;
}

queue::~queue() {
    all().forget(id_);
}

// --- operations

outcome queue::attempt(end which, party& by, message& m) {
    if (which == end::recv) {
        m.reset();
    }
    wakeup owed;
    outcome result{};
    {
        const std::lock_guard guard(lock_);
        result = which == end::recv ? get_under_lock(m, owed) : put_under_lock(by.id(), m, owed);
    }
    owed.fire();
    note_change();
    return result;
}

outcome queue::put(party& by, message& m, futex::deadline until, wait_site& site) {
    const select_case only{this, end::send, &m};
    return select(by, {&only, 1}, until, site, put_spin_).how;
}

outcome queue::get(party& by, message& out, futex::deadline until, wait_site& site) {
    const select_case only{this, end::recv, &out};
    return select(by, {&only, 1}, until, site, get_spin_).how;
}

outcome queue::put_under_lock(party_id by, message& m, wakeup& owed) {
    if (shut_) {
        return outcome::closed;
    }
    if (hand_over_under_lock(m, owed)) {
        ++put_;
        ++got_;
        return outcome::ok;
    }
    if (!putters_.empty() || full_under_lock()) {
        return outcome::would_block; // Q2; room that a getter just made is for those parked
    }
    items_.push_back({{}, by}); // without memory the message stays the caller's
    items_.back().what = std::move(m);
    ++put_;
    return outcome::ok;
}

outcome queue::get_under_lock(message& out, wakeup& owed) {
    if (items_.empty() && !admit_one_under_lock(owed)) {
        return shut_ ? outcome::closed : outcome::would_block;
    }
    out = std::move(items_.front().what);
    items_.pop_front();
    ++got_;
    static_cast<void>(admit_one_under_lock(owed));
    return outcome::ok;
}

bool queue::hand_over_under_lock(message& m, wakeup& owed) noexcept {
    while (parked* const p = getters_.front()) {
        getters_.unlink(*p);
        // The message goes first: once completed, the getter may be gone with it. If its wait has ended
        // otherwise, it can't look at its message before it has passed through our lock.
        message& theirs = *p->cargo;
        theirs = std::move(m);
        if (p->who->complete(outcome::ok, owed, p->tag)) {
            return true;
        }
        m = std::move(theirs);
    }
    return false;
}

/// Without memory the putters stay parked; a getter that finds the queue empty tries again.
bool queue::admit_one_under_lock(wakeup& owed) noexcept {
    while (!full_under_lock() && !putters_.empty()) {
        parked* const p = putters_.front();
        try {
            items_.push_back({{}, p->by});
        } catch (const std::bad_alloc&) {
            return false;
        }
        items_.back().what = std::move(*p->cargo);
        putters_.unlink(*p);
        if (p->who->complete(outcome::ok, owed, p->tag)) {
            ++put_;
            return true;
        }
        *p->cargo = std::move(items_.back().what);
        items_.pop_back();
    }
    return false;
}

// --- parking

outcome queue::park(end which, party&, parked& place) {
    {
        const std::lock_guard guard(lock_);
        const bool possible = which == end::recv ? !items_.empty() || putters_.has_other_than(place.who)
                                                 : !shut_ && (getters_.has_other_than(place.who) ||
                                                              (!full_under_lock() && putters_.empty()));
        if (possible) {
            return outcome::ok;
        }
        if (shut_) {
            return outcome::closed;
        }
        waiting(which).push_back(place);
    }
    note_change();
    return outcome::would_block;
}

void queue::unpark(end which, parked& place) noexcept {
    {
        const std::lock_guard guard(lock_);
        if (place.linked) {
            waiting(which).unlink(place);
        }
    }
    note_change();
}

void queue::end_parked_under_lock(end which) noexcept {
    while (parked* const p = waiting(which).front()) {
        wakeup owed;
        waiting(which).unlink(*p);
        static_cast<void>(p->who->complete(outcome::closed, owed, p->tag));
        owed.fire(); // under the lock: rare, and the call neither blocks nor calls back
    }
}

// --- life

void queue::shut_down(bool immediate) noexcept {
    bool emptied = false;
    {
        const std::lock_guard guard(lock_);
        shut_ = true;
        if (immediate && !items_.empty()) { // once: nothing enters from here on
            dropped_ += items_.size();
            discarded_.swap(items_);
            emptied = true;
        }
        end_parked_under_lock(end::send);
        end_parked_under_lock(end::recv); // there are none while items lie here (Q1)
    }
    if (emptied) {
        discarded_.clear(); // under no lock: what messages hold is destroyed
    }
    note_change();
}

bool queue::is_shut_down() noexcept {
    const std::lock_guard guard(lock_);
    return shut_;
}

std::size_t queue::size() noexcept {
    const std::lock_guard guard(lock_);
    return items_.size();
}

bool queue::full() noexcept {
    const std::lock_guard guard(lock_);
    return full_under_lock();
}

std::size_t queue::parked_getters() noexcept {
    const std::lock_guard guard(lock_);
    return getters_.size();
}

std::size_t queue::parked_putters() noexcept {
    const std::lock_guard guard(lock_);
    return putters_.size();
}

queue::portrait queue::draw() {
    const std::lock_guard guard(lock_);
    return {.put = put_,
            .got = got_,
            .dropped = dropped_,
            .items = items_.size(),
            .waiting_getters = getters_.size(),
            .waiting_putters = putters_.size(),
            .shut = shut_,
            .users = users_.open_holders()};
}

void queue::add_holder(end, party& by) {
    const std::lock_guard guard(lock_);
    ++users_.enter(by.id()).holders;
    note_claim();
}

void queue::drop_holder(end which, party& by) noexcept {
    bool alone = false;
    {
        const std::lock_guard guard(lock_);
        users_.drop_holder(by.id(), by.closing());
        if (users_.find(by.id()) == nullptr) {
            drop_watch_under_locks(end::recv, by.id());
        }
        alone = users_.holders() == 0 && users_.in_flight() > 0;
    }
    static_cast<void>(which);
    if (alone) {
        suspect(*this);
    }
}

void queue::add_in_flight(end) noexcept {
    const std::lock_guard guard(lock_);
    users_.add_in_flight();
    note_claim();
}

void queue::drop_in_flight(end) noexcept {
    bool alone = false;
    {
        const std::lock_guard guard(lock_);
        users_.drop_in_flight();
        alone = users_.holders() == 0 && users_.in_flight() > 0;
    }
    if (alone) {
        suspect(*this);
    }
}

std::size_t queue::unbind_some_under_lock(party_id who, std::span<message> dropped) noexcept {
    std::size_t count = 0;
    bool some_leave = false;
    for (item& each : items_) {
        if (each.from != who) {
            continue;
        }
        if (count == dropped.size()) {
            break;
        }
        const unbound how = each.what.if_unbound();
        dropped[count++] = std::move(each.what);
        each.from = how == unbound::remove ? leaving : 0;
        some_leave = some_leave || how == unbound::remove;
        if (how != unbound::remove) {
            each.what = message::marker(how);
        }
    }
    if (some_leave) {
        dropped_ += std::erase_if(items_, [](const item& each) { return each.from == leaving; });
    }
    return count;
}

void queue::party_died(party& who) noexcept {
    std::size_t expected = 0;
    {
        const std::lock_guard guard(lock_);
        users_.died(who.id());
        drop_watch_under_locks(end::recv, who.id());
        expected = static_cast<std::size_t>(
            std::ranges::count_if(items_, [&](const item& each) { return each.from == who.id(); }));
    }
    // A closed party puts nothing more: at most so many are found, all at once if memory can be had.
    std::array<message, 16> few;
    const std::unique_ptr<message[]> many(expected > few.size() ? new (std::nothrow) message[expected]
                                                                : nullptr);
    const std::span<message> room = many ? std::span(many.get(), expected) : std::span<message>(few);
    for (std::size_t found = room.size(); expected > 0 && found == room.size();) {
        wakeup owed;
        {
            const std::lock_guard guard(lock_);
            found = unbind_some_under_lock(who.id(), room);
            while (admit_one_under_lock(owed)) {
            }
        }
        owed.fire();
        for (message& each : room.first(found)) {
            each.reset();
        }
    }
    note_change();
}

conduit::claims queue::survey() {
    const std::lock_guard guard(lock_);
    claims found{users_.holders(), users_.in_flight(), {}};
    if (found.holders > 0 || found.in_flight == 0) {
        forget_suspect(*this);
        return found;
    }
    for (const item& each : items_) {
        each.what.collect_carried(found.carried);
    }
    return found;
}

void queue::abandon() noexcept {
    shut_down(true);
}

void queue::under_locks(locked_body body) {
    const std::lock_guard guard(lock_);
    body.run(*this, body.context);
}

bool queue::ready_under_locks(end which, party_id) noexcept {
    if (shut_) {
        return true;
    }
    return which == end::recv ? !items_.empty() || !putters_.empty()
                              : !getters_.empty() || (!full_under_lock() && putters_.empty());
}

} // namespace isthmus::core

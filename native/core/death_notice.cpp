#include "core/death_notice.hpp"

#include "core/immortal.hpp"

#include <mutex>

namespace isthmus::core {

directory<death_notice>& death_notice::all() noexcept {
    return immortal<directory<death_notice>>();
}

std::shared_ptr<death_notice> death_notice::create() {
    const std::uint64_t id = all().next_id();
    std::shared_ptr<death_notice> made(new death_notice(id));
    all().enter(id, made);
    return made;
}

death_notice::~death_notice() {
    all().forget(id_);
}

void death_notice::give() noexcept {
    notice_.give();
    note_change();
}

outcome death_notice::attempt(end which, party&, message& m) {
    if (which == end::recv) {
        m.reset();
    }
    return which == end::recv && given() ? outcome::ok : outcome::would_block;
}

outcome death_notice::park(end, party&, parked& place) {
    return notice_.park(place) ? outcome::would_block : outcome::ok;
}

void death_notice::unpark(end, parked& place) noexcept {
    notice_.unpark(place);
}

void death_notice::add_holder(end, party& by) {
    const std::lock_guard guard(notice_);
    ++users_.enter(by.id()).holders;
}

void death_notice::drop_holder(end, party& by) noexcept {
    const std::lock_guard guard(notice_);
    users_.drop_holder(by.id(), by.closing());
    if (users_.find(by.id()) == nullptr) {
        drop_watch_under_locks(end::recv, by.id());
    }
}

void death_notice::party_died(party& who) noexcept {
    const std::lock_guard guard(notice_);
    users_.died(who.id());
    drop_watch_under_locks(end::recv, who.id());
}

void death_notice::under_locks(locked_body body) {
    const std::lock_guard guard(notice_);
    body.run(*this, body.context);
}

} // namespace isthmus::core

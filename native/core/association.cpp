#include "core/association.hpp"

#include <algorithm>

namespace isthmus::core {
namespace {

bool open(const membership& m) noexcept {
    return m.holders > 0 && !m.closed;
}

} // namespace

const membership* association::find(party_id who) const noexcept {
    const auto at = std::ranges::find(members_, who, &membership::who);
    return at == members_.end() ? nullptr : &*at;
}

membership* association::entry(party_id who) noexcept {
    const auto at = std::ranges::find(members_, who, &membership::who);
    return at == members_.end() ? nullptr : &*at;
}

membership& association::enter(party_id who) {
    if (membership* const known = entry(who)) {
        return *known;
    }
    members_.push_back({.who = who});
    return members_.back();
}

void association::associate(membership& m) noexcept {
    if (!m.associated && !m.closed) {
        m.associated = true;
        m.dropped = false;
        ++associated_;
    }
}

void association::end_association(membership& m, bool by_close_or_death) noexcept {
    if (m.associated) {
        m.associated = false;
        --associated_;
    }
    ended_ = by_close_or_death;
}

void association::drop_holder(party_id who, bool closing) noexcept {
    membership* const m = entry(who);
    if (m == nullptr || m->holders == 0) {
        return; // an object of a party that was reported dead already: frees go on after an interpreter's end
    }
    if (--m->holders > 0 || m->closed) {
        return;
    }
    if (m->associated) {
        // A closing interpreter loses its objects before it is reported dead: that is its death already.
        m->dropped = !closing;
        end_association(*m, closing);
    } else if (closing) {
        end_association(*m, true);
    }
    forget_if_blank(*m);
}

bool association::close(membership& m) noexcept {
    if (m.closed) {
        return false;
    }
    m.closed = true;
    m.dropped = false;
    end_association(m, true);
    return true;
}

void association::died(party_id who) noexcept {
    membership* const m = entry(who);
    if (m == nullptr) {
        return;
    }
    if (m->associated || m->dropped || open(*m)) {
        end_association(*m, true);
    }
    members_.erase(members_.begin() + (m - members_.data()));
}

bool association::open_elsewhere(party_id viewer) const noexcept {
    return std::ranges::any_of(members_, [&](const membership& m) { return m.who != viewer && open(m); });
}

std::uint32_t association::holders() const noexcept {
    std::uint32_t all = 0;
    for (const membership& m : members_) {
        all += m.holders;
    }
    return all;
}

party_id association::some_open_holder() const noexcept {
    const auto at = std::ranges::find_if(members_, open);
    return at == members_.end() ? 0 : at->who;
}

std::vector<party_id> association::associated() const {
    std::vector<party_id> ids;
    ids.reserve(associated_);
    for (const membership& m : members_) {
        if (m.associated) {
            ids.push_back(m.who);
        }
    }
    return ids;
}

std::vector<party_id> association::open_holders() const {
    std::vector<party_id> ids;
    for (const membership& m : members_) {
        if (open(m)) {
            ids.push_back(m.who);
        }
    }
    return ids;
}

void association::forget_if_blank(const membership& m) noexcept {
    if (m.holders == 0 && !m.associated && !m.closed && !m.dropped) {
        members_.erase(members_.begin() + (&m - members_.data()));
    }
}

} // namespace isthmus::core

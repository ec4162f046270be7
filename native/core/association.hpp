/// Who uses one end of a channel, and when that end is over: PEP 554's association rules, with no locking.
///
/// Not thread safe: guarded by the channel's locks. Parties are known by id; a dead party's entry is removed.
#pragma once

#include "core/party.hpp"

#include <cstdint>
#include <vector>

namespace isthmus::core {

/// One party's relation to one end.
struct membership {
    party_id who = 0;
    std::uint32_t holders = 0; ///< live end objects
    bool associated = false;   ///< has sent (or received), and that has not ended
    bool closed = false;       ///< closed this end: no new association, its holders don't count as open
    bool dropped = false; ///< lost its last holder while associated; its death would end what was dropped
};

/// One end of one channel, as all parties see it.
class association {
  public:
    [[nodiscard]] const membership* find(party_id who) const noexcept;

    /// Makes the party's entry if it has none. May throw std::bad_alloc, then nothing changed.
    membership& enter(party_id who);

    /// First use by this party. Nothing happens if it is associated already or has closed the end.
    void associate(membership& m) noexcept;
    /// One holder less. Losing the last one drops the association; of a closing party that counts as its
    /// death.
    void drop_holder(party_id who, bool closing) noexcept;
    /// True the first time. A party that was never associated counts as one whose association ended by close.
    bool close(membership& m) noexcept;
    /// The party is gone: its holders, and what it was or had been associated with, end by death.
    void died(party_id who) noexcept;

    void add_in_flight() noexcept { ++in_flight_; }
    void drop_in_flight() noexcept { --in_flight_; }

    /// The last association ended by close or death, and no party is associated now.
    [[nodiscard]] bool ended() const noexcept { return ended_ && associated_ == 0; }
    /// Nobody but `viewer` could still use this end, and the others' use of it has ended.
    [[nodiscard]] bool over_for(party_id viewer) const noexcept {
        return ended() && in_flight_ == 0 && !open_elsewhere(viewer);
    }
    /// A party other than `viewer` has a holder and has not closed the end.
    [[nodiscard]] bool open_elsewhere(party_id viewer) const noexcept;
    [[nodiscard]] bool open_anywhere() const noexcept { return open_elsewhere(0); }
    /// Nobody is associated, holds an open end, or has one on its way.
    [[nodiscard]] bool unreachable() const noexcept {
        return associated_ == 0 && in_flight_ == 0 && !open_anywhere();
    }
    [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
    /// Live end objects of all parties, closed ends included.
    [[nodiscard]] std::uint32_t holders() const noexcept;
    /// Some party with an open holder, or 0.
    [[nodiscard]] party_id some_open_holder() const noexcept;
    /// Ids of the associated parties, in the order in which they came by an end. May throw std::bad_alloc.
    [[nodiscard]] std::vector<party_id> associated() const;
    /// Ids of the parties that hold an open end, likewise. May throw std::bad_alloc.
    [[nodiscard]] std::vector<party_id> open_holders() const;

  private:
    [[nodiscard]] membership* entry(party_id who) noexcept;
    void end_association(membership& m, bool by_close_or_death) noexcept;
    void forget_if_blank(const membership& m) noexcept;

    std::vector<membership> members_; ///< a handful at most: searched in order
    std::uint32_t associated_ = 0;    ///< members with `associated`
    std::uint32_t in_flight_ = 0;     ///< ends inside messages
    bool ended_ = false;              ///< the last association that ended did so by close or death
};

} // namespace isthmus::core

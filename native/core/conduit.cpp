#include "core/conduit.hpp"

#include "core/channel.hpp"
#include "core/cycles.hpp"
#include "core/death_notice.hpp"
#include "core/forking.hpp"
#include "core/queue.hpp"

#include <algorithm>

namespace isthmus::core {

conduit::conduit() noexcept {
    survive_forks();
}

conduit::~conduit() {
    forget_suspect(*this);
}

int conduit::watch(end which, party& by) {
    struct request {
        end which;
        party_id who;
        int descriptor;
    } wanted{which, by.id(), -1};
    under_locks({[](conduit& self, void* context) {
                     auto& want = *static_cast<request*>(context);
                     const auto known = std::ranges::find_if(self.watches_, [&](const watch_entry& w) {
                         return w.which == want.which && w.who == want.who;
                     });
                     if (known == self.watches_.end()) {
                         self.watches_.push_back({want.which, want.who, readiness{}});
                         self.watched_.store(true, std::memory_order_relaxed);
                         self.refresh_under_locks();
                         want.descriptor = self.watches_.back().level.descriptor();
                     } else {
                         want.descriptor = known->level.descriptor();
                     }
                 },
                 &wanted});
    return wanted.descriptor;
}

void conduit::refresh_under_locks() noexcept {
    for (watch_entry& each : watches_) {
        each.level.set(ready_under_locks(each.which, each.who));
    }
}

void conduit::refresh() noexcept {
    under_locks({[](conduit& self, void*) { self.refresh_under_locks(); }, nullptr});
}

void conduit::drop_watch_under_locks(end which, party_id who) noexcept {
    std::erase_if(watches_, [&](const watch_entry& w) { return w.which == which && w.who == who; });
    watched_.store(!watches_.empty(), std::memory_order_relaxed);
}

void conduit::forget_other_threads() noexcept {
    forget_parked_under_locks();
    // One that can't be had is made anew, or refused, when it is asked for again.
    std::erase_if(watches_, [](watch_entry& w) { return !w.level.separate(); });
    watched_.store(!watches_.empty(), std::memory_order_relaxed);
    refresh_under_locks();
}

travelling_end::travelling_end(std::shared_ptr<conduit> c, end w) noexcept : of(std::move(c)), which(w) {
    of->add_in_flight(which);
}

travelling_end::~travelling_end() {
    of->drop_in_flight(which);
}

void party_died_everywhere(party& who) noexcept {
    channel::all().for_each([&](conduit& each) { each.party_died(who); });
    queue::all().for_each([&](conduit& each) { each.party_died(who); });
    death_notice::all().for_each([&](conduit& each) { each.party_died(who); });
}

} // namespace isthmus::core

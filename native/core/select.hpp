/// One wait for several operations: exactly one of them happens.
///
/// How two selects can meet: each first tries all its cases, parked nowhere. Only then it parks case by case;
/// a case that turns out to be possible meanwhile is not done from there (another case may be completed at
/// this very moment) but ends the select's own wait, and all is tried again. So a wait is claimed by one
/// compare-and-swap, no two conduits' locks are ever held together, and of two selects that offer each other
/// the same message the one that parked first is taken by the one that tries. What one select has parked is
/// invisible to its own tries: it never meets itself.
#pragma once

#include "core/conduit.hpp"

#include <cstddef>
#include <span>

namespace isthmus::core {

struct select_case {
    conduit* on;
    end which;
    /// To receive into, or offered to be sent: taken only if this case happened.
    message* cargo;
};

struct selected {
    outcome how;
    std::size_t index; ///< which case happened (ok) or can't go on (closed, released, poisoned); else 0
};

/// Performs one case. The first to be tried changes from call to call, so of several that stay ready none is
/// preferred; while all block, the first to become ready wins. An empty span waits until the deadline.
/// `scratch` of more than a few cases may throw std::bad_alloc; nothing has happened then.
///
/// `spinning`: of the waits that are alike; kept by the caller, so that no idle place teaches a busy one not
/// to spin. Sleeps: no GIL, no lock held. ok, closed, released, poisoned, timed_out, interrupted,
/// party_closing.
[[nodiscard]] selected select(party& by, std::span<const select_case> cases, futex::deadline until,
                              wait_site& site, spin_budget& spinning);
/// Tries each once: as above, or would_block.
[[nodiscard]] selected try_select(party& by, std::span<const select_case> cases);

} // namespace isthmus::core

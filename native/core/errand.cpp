#include "core/errand.hpp"

#include "core/registry.hpp"
#include "core/stats.hpp"

namespace isthmus::core {
namespace {

/// Calls `act` with each errand of a batch taken from the inbox; the errand may be gone afterwards.
template <typename Act> void for_each(inbox_node* taken, Act act) {
    while (taken != nullptr) {
        auto& each = static_cast<errand&>(*taken);
        taken = taken->next_posted.load(std::memory_order_relaxed);
        act(each);
    }
}

} // namespace

bool post(interpreter& to, errand& what) noexcept {
    switch (to.errands.post(what)) {
    case inbox::posted::first:
        helper_of(to).notify();
        return true;
    case inbox::posted::behind_others:
        return true;
    case inbox::posted::refused:
        break;
    }
    return false;
}

void run_errands(interpreter& here) {
    while (!here.errands.empty()) {
        for_each(here.errands.drain(), [](errand& each) { each.run(); });
    }
}

void end_errands(interpreter& of) noexcept {
    for_each(of.errands.close(), [](errand& each) { each.abandon(); });
    // Nothing runs from here on, so nothing lowers the number.
    const std::uint32_t orphans = of.loans.exchange(0, std::memory_order_acq_rel);
    if (orphans != 0) {
        statistics::add(counter::views_orphaned, orphans);
    }
}

} // namespace isthmus::core

#include "core/errand.hpp"

#include "core/registry.hpp"
#include "core/stats.hpp"

namespace isthmus::core {
namespace {

constexpr auto relaxed = std::memory_order_relaxed; // its owner's GIL orders all that is not in the inbox

} // namespace

errand* errand_inbox::next() noexcept {
    inbox_node* oldest = batch_.load(relaxed);
    if (oldest == nullptr) {
        std::size_t count = 0;
        oldest = box_.drain(&count);
        left_.store(count, relaxed);
    }
    if (oldest == nullptr) {
        return nullptr;
    }
    batch_.store(oldest->next_posted.load(relaxed), relaxed);
    left_.fetch_sub(1, relaxed);
    return static_cast<errand*>(oldest);
}

void errand_inbox::close() noexcept {
    std::size_t count = 0;
    inbox_node* const rest = box_.close(&count);
    inbox_node* last = batch_.load(relaxed);
    if (last == nullptr) {
        batch_.store(rest, relaxed);
    } else {
        while (inbox_node* const later = last->next_posted.load(relaxed)) {
            last = later;
        }
        last->next_posted.store(rest, relaxed);
    }
    left_.fetch_add(count, relaxed);
}

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
    while (errand* const each = here.errands.next()) {
        each->run(); // it may be gone afterwards
    }
}

void end_errands(interpreter& of) noexcept {
    of.errands.close();
    while (errand* const each = of.errands.next()) {
        each->abandon();
    }
    // Nothing runs from here on, so nothing lowers the number.
    const std::uint32_t orphans = of.loans.exchange(0, std::memory_order_acq_rel);
    if (orphans != 0) {
        statistics::add(counter::views_orphaned, orphans);
    }
}

} // namespace isthmus::core

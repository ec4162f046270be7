#include "core/view.hpp"

#include "core/stats.hpp"

namespace isthmus::core {

loan::~loan() = default;

loan_ref loan_ref::begin(std::unique_ptr<loan> ready) noexcept {
    interpreter& owner = *ready->owner();
    statistics::add(counter::views_made);
    // The owner's GIL keeps end_errands from coming between.
    if (owner.errands.closed()) {
        owner.left_orphans.store(true, std::memory_order_release);
        statistics::add(counter::views_orphaned);
    } else {
        owner.loans.fetch_add(1, std::memory_order_relaxed);
    }
    return loan_ref(ready.release());
}

void loan::drop_reference() noexcept {
    // acq_rel: what every holder read or wrote in the memory happens before its exporter's release.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) {
        return;
    }
    statistics::add(counter::releases_posted);
    // Once posted, the loan may be gone at any moment, and with it the last reference to its owner's record.
    const interpreter_ref owner = owner_;
    if (!post(*owner, *this)) {
        abandon();
    }
}

void loan::drop_reference_at_home() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) {
        return;
    }
    statistics::add(counter::releases_posted);
    if (owner_->errands.closed()) {
        abandon();
    } else {
        run();
    }
}

void loan::run() {
    if (owner_->loans.fetch_sub(1, std::memory_order_acq_rel) == 1 && owner_->resting.load()) {
        helper_of(*owner_).notify(); // this was what it waited for
    }
    give_back();
    statistics::add(counter::releases_run);
    statistics::add(counter::views_ended);
    delete this;
}

void loan::abandon() noexcept {
    statistics::add(counter::releases_run);
    statistics::add(counter::views_ended);
    delete this;
}

received_view::received_view(interpreter_ref by, view what)
    : by_(std::move(by)), what_(std::move(what)), next_(by_->received) {
    if (next_ != nullptr) {
        next_->previous_ = this;
    }
    by_->received = this;
}

received_view::~received_view() {
    if (next_ != nullptr) {
        next_->previous_ = previous_;
    }
    (previous_ != nullptr ? previous_->next_ : by_->received) = next_;
}

void received_view::drop_all(interpreter& gone) noexcept {
    if (gone.left_orphans.load(std::memory_order_acquire)) {
        return;
    }
    while (gone.received != nullptr) {
        // The object that showed it will never be freed, so it never asks for it either.
        delete gone.received;
    }
}

} // namespace isthmus::core

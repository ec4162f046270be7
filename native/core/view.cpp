#include "core/view.hpp"

#include "core/lock.hpp"
#include "core/stats.hpp"

#include <limits>
#include <mutex>

namespace isthmus::core {

loan::~loan() = default;

loan_ref loan_ref::begin(std::unique_ptr<loan> ready) noexcept {
    statistics::add(counter::views_made);
    if (ready->owner_ != nullptr) {
        interpreter& owner = *ready->owner_;
        // The owner's GIL keeps end_errands from coming between.
        if (owner.errands.closed()) {
            statistics::add(counter::views_orphaned);
        } else {
            owner.loans.fetch_add(1, std::memory_order_relaxed);
        }
        ready->list();
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
    if (owner == nullptr || !post(*owner, *this)) {
        abandon();
    }
}

void loan::drop_reference_here() {
    if (owner_ == nullptr || !is_home()) {
        return drop_reference();
    }
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
    end();
}

void loan::abandon() noexcept {
    end();
}

void loan::list() noexcept {
    const std::lock_guard guard(owner_->lent_lock);
    next_ = owner_->lent;
    if (next_ != nullptr) {
        next_->previous_ = this;
    }
    owner_->lent = this;
}

void loan::end() noexcept {
    received_view* unneeded = nullptr;
    if (owner_ != nullptr) {
        const std::lock_guard guard(owner_->lent_lock);
        if (next_ != nullptr) {
            next_->previous_ = previous_;
        }
        (previous_ != nullptr ? previous_->next_ : owner_->lent) = next_;
        if (owner_->settled) {
            unneeded = received_view::take_unneeded(*owner_);
        }
    }
    statistics::add(counter::releases_run);
    statistics::add(counter::views_ended);
    delete this;
    received_view::drop(unneeded);
}

memory_range memory_range::of(const buffer_layout& layout) noexcept {
    if (layout.indirect) {
        return {0, std::numeric_limits<std::uintptr_t>::max()};
    }
    const auto start = reinterpret_cast<std::uintptr_t>(layout.data);
    memory_range reached{start, start + static_cast<std::uintptr_t>(layout.item_size)};
    const auto count = static_cast<std::size_t>(layout.dimensions);
    for (std::size_t i = 0; i < count; ++i) {
        const std::ptrdiff_t items = layout.extents[i];
        const std::ptrdiff_t stride = layout.extents[count + i];
        if (items == 0) {
            return {start, start};
        }
        (stride < 0 ? reached.low : reached.high) += static_cast<std::uintptr_t>((items - 1) * stride);
    }
    return reached;
}

received_view::received_view(interpreter_ref by, view what)
    : by_(std::move(by)), what_(std::move(what)), next_(by_->received) {
    if (next_ != nullptr) {
        next_->previous_ = this;
    }
    by_->received = this;
}

received_view::~received_view() {
    if (!listed_) {
        return;
    }
    if (next_ != nullptr) {
        next_->previous_ = previous_;
    }
    (previous_ != nullptr ? previous_->next_ : by_->received) = next_;
}

void received_view::settle(interpreter& gone) noexcept {
    received_view* unneeded = nullptr;
    {
        const std::lock_guard guard(gone.lent_lock);
        gone.settled = true;
        unneeded = take_unneeded(gone);
    }
    drop(unneeded);
}

/// Under the lock of the interpreter it was received by. A view that came home does not keep itself.
bool received_view::is_shown_by_orphans() const noexcept {
    const memory_range mine = memory_range::of(what_.layout);
    const loan* each = by_->lent;
    while (each != nullptr && (each == what_.of.get() || !each->shown_.overlaps(mine))) {
        each = each->next_;
    }
    return each != nullptr;
}

/// Under the lock of `gone`: takes off its list what can be dropped, linked by next_.
received_view* received_view::take_unneeded(interpreter& gone) noexcept {
    received_view* taken = nullptr;
    received_view* kept = nullptr;
    received_view* next = nullptr;
    for (received_view* each = gone.received; each != nullptr; each = next) {
        next = each->next_;
        each->listed_ = each->is_shown_by_orphans();
        received_view*& list = each->listed_ ? kept : taken;
        each->previous_ = nullptr;
        each->next_ = list;
        if (list != nullptr) {
            list->previous_ = each;
        }
        list = each;
    }
    gone.received = kept;
    return taken;
}

/// The objects that showed them will never be freed, so they never ask for them either. Under no lock: a loan
/// that ends may lead to further interpreters that are gone.
void received_view::drop(received_view* taken) noexcept {
    while (taken != nullptr) {
        delete std::exchange(taken, taken->next_);
    }
}

} // namespace isthmus::core

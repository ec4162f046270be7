#include "core/posted_call.hpp"

#include "core/forking.hpp"
#include "core/registry.hpp"
#include "core/stats.hpp"

#include <cassert>
#include <utility>

namespace isthmus::core {
namespace {

/// Waits for calls have no place of their own to learn at: each call is waited for once.
constinit spin_budget call_spinning;

thread_local const interpreter* served_by_this_thread = nullptr;

} // namespace

posted_call::posted_call(interpreter_ref to) : to_(std::move(to)), forks_(forks()) {}

posted_call::~posted_call() = default;

bool posted_call::of_parent() const noexcept {
    return forks_ != forks();
}

posted_call::phase posted_call::now() const noexcept {
    const phase seen = phase_.load(std::memory_order_acquire);
    // The child's only thread may be the one that runs it: then it ends here.
    const bool lost = seen < phase::done && of_parent() && served_by_this_thread != to_.get();
    return lost ? phase::failed : seen;
}

bool posted_call::begin(phase next) noexcept {
    phase expected = phase::waiting;
    return phase_.compare_exchange_strong(expected, next, std::memory_order_acq_rel,
                                          std::memory_order_acquire);
}

void posted_call::end(phase how) noexcept {
    assert(how >= phase::done);
    phase_.store(how, std::memory_order_release);
    statistics::add(counter::calls_ended);
    if (!of_parent()) {
        ended_.give();
    }
}

bool posted_call::cancel() noexcept {
    if (of_parent() || !begin(phase::cancelled)) {
        return phase_.load(std::memory_order_acquire) == phase::cancelled;
    }
    discard();
    end(phase::cancelled);
    return true;
}

outcome posted_call::wait(party& by, futex::deadline until, wait_site& site) noexcept {
    if (ended()) {
        return outcome::ok;
    }
    const party::presence here(by);
    // Before it is parked: then there is no queue to enter and to leave, and nobody to wake. What interrupts
    // a wait is compared with what the caller has seen of it, so the wait below finds what came meanwhile.
    const bool soon = spinning::spin(
        until, call_spinning.get(), [this] { return ended(); }, [&by] { return by.closing(); });
    if (soon) {
        call_spinning.paid();
        return outcome::ok;
    }
    call_spinning.wasted();
    spin_budget none = spin_budget::nothing();
    return ended_.wait(by, until, site, none);
}

bool posted_call::waits_for_itself() const noexcept {
    return served_by_this_thread == to_.get();
}

void tell_if_calls_are_over(interpreter& of) noexcept {
    // The gate is one word: once it is shut, the last one to leave finds it so.
    if (of.calls.is_shut() && !of.calls.anybody_inside()) {
        of.calls_over.give();
    }
}

void posted_call::run() {
    // The last reference may be this one, and hold the last one to its interpreter's record.
    const std::shared_ptr<posted_call> self = std::exchange(keep_, nullptr);
    interpreter& here = *to_;
    if (of_parent() || !here.calls.enter()) {
        fail();
        tell_if_calls_are_over(here);
        return;
    }
    if (begin(phase::running)) {
        struct ending {
            ~ending() {
                served_by_this_thread = nullptr;
                of.end(phase::done); // also when CPython ends the thread in there
                of.to_->calls.leave();
                tell_if_calls_are_over(*of.to_);
            }
            posted_call& of;
        } const at_last{*this};
        served_by_this_thread = &here;
        perform(here);
    } else {
        here.calls.leave();
        tell_if_calls_are_over(here);
    }
}

void posted_call::abandon() noexcept {
    const std::shared_ptr<posted_call> self = std::exchange(keep_, nullptr);
    fail();
}

void posted_call::fail() noexcept {
    if (begin(phase::failed)) {
        discard();
        end(phase::failed);
    }
}

bool post_call(const std::shared_ptr<posted_call>& call) noexcept {
    interpreter& to = call->to();
    statistics::add(counter::calls_posted);
    call->keep_ = call;
    if (to.calls.is_shut() || to.errands.post(*call) == inbox::posted::refused) {
        call->abandon();
        return false;
    }
    helper_of(to).notify_at_once();
    return true;
}

} // namespace isthmus::core

#include "core/select.hpp"

#include <array>
#include <memory>

namespace isthmus::core {
namespace {

/// Where to begin. A plain counter would beat in time with callers that alternate.
std::size_t next_start(std::size_t count) noexcept {
    thread_local std::uint64_t state = 0x9E3779B97F4A7C15ULL ^ reinterpret_cast<std::uintptr_t>(&state);
    state ^= state << 13; // xorshift64
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::size_t>(state % count);
}

/// Room for the places of all cases; on the stack if they are few.
class places {
  public:
    explicit places(std::size_t count)
        : many_(count > few_.size() ? std::make_unique<parked[]>(count) : nullptr) {}
    [[nodiscard]] parked& at(std::size_t i) noexcept { return many_ ? many_[i] : few_[i]; }

  private:
    std::array<parked, 4> few_{};
    std::unique_ptr<parked[]> many_;
};

class waiting_select {
  public:
    waiting_select(party& by, std::span<const select_case> cases, places& room) noexcept
        : by_(by), cases_(cases), places_(room) {}

    /// would_block: a case became possible while the others were being parked.
    selected run(futex::deadline until, wait_site& site, spin_budget& spinning) {
        std::size_t parked_cases = 0;
        try {
            parked_cases = park_all();
        } catch (...) {
            wakeup none; // a completion that came first is undone by nobody: take it instead of the error
            if (self_.complete(outcome::would_block, none)) {
                unpark(parked_);
                throw;
            }
            parked_cases = parked_;
        }
        const outcome how = self_.wait(by_, until, site, spinning);
        unpark(parked_cases);
        return {how, how == outcome::ok || ended(how) ? self_.tag() : 0};
    }

    static bool ended(outcome how) noexcept {
        return how == outcome::closed || how == outcome::released || how == outcome::poisoned;
    }

  private:
    std::size_t park_all() {
        for (std::size_t i = 0; i < cases_.size() && self_.pending(); ++i) {
            parked_ = i;
            parked& place = places_.at(i);
            place = {};
            place.who = &self_;
            place.by = by_.id();
            place.cargo = cases_[i].cargo;
            place.tag = static_cast<std::uint32_t>(i);
            if (cases_[i].on->park(cases_[i].which, by_, place) != outcome::would_block) {
                wakeup none; // we don't sleep
                static_cast<void>(self_.complete(outcome::would_block, none));
                return i;
            }
            parked_ = i + 1;
        }
        return parked_;
    }

    void unpark(std::size_t count) noexcept {
        for (std::size_t i = 0; i < count; ++i) {
            cases_[i].on->unpark(cases_[i].which, places_.at(i));
        }
    }

    party& by_;
    std::span<const select_case> cases_;
    places& places_;
    waiter self_;
    std::size_t parked_ = 0; ///< how many cases are parked
};

} // namespace

selected try_select(party& by, std::span<const select_case> cases) {
    if (cases.empty()) {
        return {outcome::would_block, 0};
    }
    const std::size_t start = next_start(cases.size());
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const std::size_t at = (start + i) % cases.size();
        const outcome how = cases[at].on->attempt(cases[at].which, by, *cases[at].cargo);
        if (how != outcome::would_block) {
            return {how, at};
        }
    }
    return {outcome::would_block, 0};
}

selected select(party& by, std::span<const select_case> cases, futex::deadline until, wait_site& site,
                spin_budget& spinning) {
    places room(cases.size());
    for (;;) {
        if (const selected done = try_select(by, cases); done.how != outcome::would_block) {
            return done;
        }
        if (until && futex::now() >= *until) {
            return {outcome::timed_out, 0};
        }
        if (const selected done = waiting_select(by, cases, room).run(until, site, spinning);
            done.how != outcome::would_block) {
            return done;
        }
    }
}

} // namespace isthmus::core

/// The select of include/isthmus/select.hpp over the core's. Any thread; see there.
#include <isthmus/select.hpp>

#include "cxx/ends.hpp"
#include "cxx/payload.hpp"

#include "core/select.hpp"

#include <stdexcept>

namespace isthmus {
namespace {

using core::outcome;
using detail::access;

/// Selects have no place of their own to learn at: what they wait for changes from call to call.
constinit core::spin_budget host_selects_spinning;

/// The cases of one call as the core sees them. The user's cases outlive it.
class case_list {
  public:
    explicit case_list(std::span<const select_case> given) : given_(given) {
        cargo_.reserve(given.size()); // and so stays where it is
        cases_.reserve(given.size());
        for (const select_case& each : given) {
            std::visit([&](const auto& on) { add(on, each); }, access::on(each));
        }
    }

    [[nodiscard]] std::span<const core::select_case> all() const noexcept { return cases_; }

    /// What came, or throws why nothing did.
    [[nodiscard]] selected outcome_of(const core::selected& done) {
        return {done.index,
                std::visit([&](const auto& on) { return ended(on, done); }, access::on(given_[done.index]))};
    }

  private:
    void add(const send_channel& on, const select_case& from) {
        cargo_.emplace_back(access::offered(from));
        cases_.push_back({&access::end_of(on)->of(), core::end::send, &cargo_.back().what});
    }
    template <typename Receiver> void add(const Receiver& on, const select_case&) {
        cargo_.emplace_back();
        cases_.push_back({&access::end_of(on)->of(), core::end::recv, &cargo_.back().what});
    }

    [[nodiscard]] value ended(const send_channel& on, const core::selected& done) {
        if (done.how != outcome::ok) {
            detail::throw_outcome(done.how, access::end_of(on)->of());
        }
        return {};
    }
    [[nodiscard]] value ended(const recv_channel& on, const core::selected& done) {
        if (done.how != outcome::ok) {
            detail::throw_outcome(done.how, access::end_of(on)->of());
        }
        return detail::decode(std::move(cargo_[done.index].what));
    }
    [[nodiscard]] value ended(const queue& on, const core::selected& done) {
        core::queue& of = access::end_of(on)->of();
        if (done.how != outcome::ok) {
            detail::throw_queue_outcome(done.how, core::end::recv, of);
        }
        return detail::taken_out(of, std::move(cargo_[done.index].what));
    }

    [[nodiscard]] static value ended(const closed_event&, const core::selected&) { return {}; }

    std::span<const select_case> given_;
    std::vector<detail::outgoing> cargo_;
    std::vector<core::select_case> cases_;
};

} // namespace

selected select(std::span<const select_case> cases, patience timeout) {
    if (cases.empty() && !timeout) {
        throw std::invalid_argument("select() without cases and without a timeout would wait for ever");
    }
    case_list list(cases);
    core::selected done{};
    done.how = detail::attempt_or_wait(
        timeout,
        [&] {
            done = core::try_select(detail::host_party(), list.all());
            return done.how;
        },
        [&](core::futex::deadline until, core::wait_site& site) {
            done = core::select(detail::host_party(), list.all(), until, site, host_selects_spinning);
            return done.how;
        });
    switch (done.how) {
    case outcome::would_block:
    case outcome::timed_out:
        throw timeout_error("select() timed out");
    case outcome::party_closing:
        throw interpreter_error("select(): the host is being closed");
    default:
        return list.outcome_of(done);
    }
}

} // namespace isthmus

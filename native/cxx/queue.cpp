/// The class of include/isthmus/queue.hpp over the core's queues. Any thread; see there. An item that was
/// taken out and can't be decoded for want of memory is lost.
#include <isthmus/queue.hpp>

#include "cxx/ends.hpp"
#include "cxx/payload.hpp"

#include <limits>

namespace isthmus {
namespace {

using core::end;
using core::message;
using core::outcome;
using detail::queue_end;

outcome try_put(const queue_end& to, message& m) {
    m.set_if_unbound(to.of().fallback());
    return to.of().attempt(end::send, detail::host_party(), m);
}

outcome try_get(const queue_end& from, message& m) {
    return from.of().attempt(end::recv, detail::host_party(), m);
}

/// A maxsize that no memory could hold is none.
std::int64_t limit_of(std::size_t maxsize) noexcept {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    return std::cmp_less(maxsize, most) ? static_cast<std::int64_t>(maxsize) : most;
}

} // namespace

queue::queue(std::size_t maxsize)
    : end_(
          std::make_shared<const queue_end>(core::queue::create(limit_of(maxsize), core::unbound::replace))) {
}

std::uint64_t queue::id() const noexcept {
    return end_->of().id();
}

std::size_t queue::maxsize() const noexcept {
    return static_cast<std::size_t>(std::max<std::int64_t>(end_->of().maxsize(), 0));
}

std::size_t queue::size() const noexcept {
    return end_->of().size();
}

bool queue::full() const noexcept {
    return end_->of().full();
}

void queue::put(const value& item, patience timeout) {
    detail::outgoing packed(item);
    const outcome how = detail::attempt_or_wait(
        timeout, [&] { return try_put(*end_, packed.what); },
        [&](core::futex::deadline until, core::wait_site& site) {
            return end_->of().put(detail::host_party(), packed.what, until, site);
        });
    if (how != outcome::ok) {
        detail::throw_queue_outcome(how, end::send, end_->of());
    }
}

bool queue::put_nowait(const value& item) {
    detail::outgoing packed(item);
    const outcome how = try_put(*end_, packed.what);
    if (how != outcome::ok && how != outcome::would_block) {
        detail::throw_queue_outcome(how, end::send, end_->of());
    }
    return how == outcome::ok;
}

value queue::get(patience timeout) {
    message m;
    const outcome how = detail::attempt_or_wait(
        timeout, [&] { return try_get(*end_, m); },
        [&](core::futex::deadline until, core::wait_site& site) {
            return end_->of().get(detail::host_party(), m, until, site);
        });
    if (how != outcome::ok) {
        detail::throw_queue_outcome(how, end::recv, end_->of());
    }
    return detail::taken_out(end_->of(), std::move(m));
}

std::optional<value> queue::get_nowait() {
    message m;
    const outcome how = try_get(*end_, m);
    if (how == outcome::would_block) {
        return std::nullopt;
    }
    if (how != outcome::ok) {
        detail::throw_queue_outcome(how, end::recv, end_->of());
    }
    return detail::taken_out(end_->of(), std::move(m));
}

void queue::shutdown(bool immediate) {
    end_->of().shut_down(immediate);
}

int queue::fileno() const {
    return end_->of().watch(end::recv, detail::host_party());
}

bool queue::operator==(const queue& other) const noexcept {
    return end_ == other.end_ || (end_ && other.end_ && end_->same(*other.end_));
}

value conversion<queue>::to(const queue& v) {
    return value::of(value::handle(detail::access::end_of(v)));
}

queue conversion<queue>::from(const value& v) {
    return detail::access::with_end<queue>(detail::handle_in<queue_end>(v, "Queue"));
}

} // namespace isthmus

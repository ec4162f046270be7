/// The class of include/isthmus/closed_event.hpp over the core's. Any thread; see there.
#include <isthmus/closed_event.hpp>

#include "cxx/ends.hpp"
#include "cxx/payload.hpp"

namespace isthmus {

bool closed_event::is_set() const noexcept {
    return end_->of().given();
}

bool closed_event::wait(patience timeout) const {
    return detail::attempt_or_wait(
               timeout, [&] { return is_set() ? core::outcome::ok : core::outcome::would_block; },
               [&](core::futex::deadline until, core::wait_site& site) {
                   return end_->of().wait(detail::host_party(), until, site);
               }) == core::outcome::ok;
}

int closed_event::fileno() const {
    return end_->of().watch(core::end::recv, detail::host_party());
}

bool closed_event::operator==(const closed_event& other) const noexcept {
    return end_ == other.end_ || (end_ && other.end_ && end_->same(*other.end_));
}

value conversion<closed_event>::to(const closed_event& v) {
    return value::of(value::handle(detail::access::end_of(v)));
}

closed_event conversion<closed_event>::from(const value& v) {
    return detail::access::with_end<closed_event>(detail::handle_in<detail::notice_end>(v, "ClosedEvent"));
}

} // namespace isthmus

/// The classes of include/isthmus/channel.hpp over the core's channels. Any thread; see there.
///
/// A message that was received and can't be decoded for want of memory is lost: there is no way back into a
/// channel.
#include <isthmus/channel.hpp>

#include "cxx/ends.hpp"
#include "cxx/payload.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace isthmus {
namespace {

using core::message;
using core::outcome;
using detail::channel_end;

outcome await_send(const channel_end& end, message& m, patience timeout) {
    return detail::attempt_or_wait(
        timeout, [&] { return end.of().try_send(detail::host_party(), m); },
        [&](core::futex::deadline until, core::wait_site& site) {
            return end.of().send(detail::host_party(), m, until, site);
        });
}

outcome await_message(const channel_end& end, message& m, patience timeout) {
    return detail::attempt_or_wait(
        timeout, [&] { return end.of().try_recv(detail::host_party(), m); },
        [&](core::futex::deadline until, core::wait_site& site) {
            return end.of().recv(detail::host_party(), m, until, site);
        });
}

void require_sent(const channel_end& end, outcome how) {
    if (how != outcome::ok) {
        detail::throw_outcome(how, end.of());
    }
}

/// What is left of a time that is for several waits.
class time_left {
  public:
    explicit time_left(patience all) : all_(all), until_(detail::deadline_of(all)) {}
    [[nodiscard]] patience now() const noexcept {
        return until_ ? patience(std::chrono::nanoseconds(*until_ - core::futex::now())) : all_;
    }

  private:
    patience all_;
    core::futex::deadline until_;
};

/// All of `ready`, in order; waits where it must.
void send_batch(const channel_end& end, std::span<message> ready, const time_left& timeout) {
    while (!ready.empty()) {
        std::size_t sent = 0;
        static_cast<void>(end.of().try_send_many(detail::host_party(), ready, sent));
        ready = ready.subspan(sent);
        if (!ready.empty()) {
            require_sent(end, await_send(end, ready.front(), timeout.now()));
            ready = ready.subspan(1);
        }
    }
}

} // namespace

// ---- both ends

std::uint64_t channel_handle::id() const noexcept {
    return end_->of().id();
}

bool channel_handle::close() {
    return end_->of().close(end_->which(), detail::host_party());
}

bool channel_handle::is_closed() const noexcept {
    return end_->of().is_closed();
}

void channel_handle::poison(std::string_view reason) {
    require_sent(*end_, end_->of().poison(end_->which(), detail::host_party(), detail::pack_reason(reason)));
}

channel_statistics channel_handle::statistics() const noexcept {
    const core::channel::statistics now = end_->of().look();
    return {now.sent, now.received, now.dropped, now.buffered, now.waiting_receivers, now.waiting_senders};
}

int channel_handle::fileno() const {
    if (end_->of().is_closed(end_->which(), detail::host_party())) {
        detail::throw_outcome(outcome::released, end_->of());
    }
    return end_->of().watch(end_->which(), detail::host_party());
}

bool channel_handle::operator==(const channel_handle& other) const noexcept {
    return end_ == other.end_ || (end_ && other.end_ && end_->same(*other.end_));
}

// ---- sending

void send_channel::send(const value& what, patience timeout) {
    detail::outgoing packed(what);
    require_sent(*end_, await_send(*end_, packed.what, timeout));
}

bool send_channel::send_nowait(const value& what) {
    detail::outgoing packed(what);
    const outcome how = end_->of().try_send(detail::host_party(), packed.what);
    if (how == outcome::would_block) {
        return false;
    }
    require_sent(*end_, how);
    return true;
}

/// Encodes ahead, unless somebody waits for the first already.
void send_channel::send_many(std::span<const value> what, patience timeout) {
    const time_left left(timeout);
    std::array<message, most_at_once> ready;
    const std::size_t most = end_->of().capacity() != 0 ? ready.size() : 1;
    while (!what.empty()) {
        std::size_t count = 0;
        while (count < std::min(most, what.size()) && (count == 0 || end_->of().parked_receivers() == 0)) {
            // One that can't cross is found before anything of its batch is sent, but for those before it.
            try {
                ready[count] = detail::encode(what[count]);
            } catch (...) {
                send_batch(*end_, std::span(ready).first(count), left);
                throw;
            }
            ++count;
        }
        send_batch(*end_, std::span(ready).first(count), left);
        what = what.subspan(count);
    }
}

// ---- receiving

value recv_channel::recv(patience timeout) {
    message m;
    require_sent(*end_, await_message(*end_, m, timeout));
    return detail::decode(std::move(m));
}

std::optional<value> recv_channel::recv_nowait() {
    message m;
    const outcome how = end_->of().try_recv(detail::host_party(), m);
    if (how == outcome::would_block) {
        return std::nullopt;
    }
    require_sent(*end_, how);
    return detail::decode(std::move(m));
}

std::vector<value> recv_channel::recv_many(std::size_t most, patience timeout) {
    if (most == 0) {
        throw std::invalid_argument("recv_many() of none");
    }
    std::vector<value> received;
    received.push_back(recv(timeout));
    std::array<message, 64> room;
    while (received.size() < most) {
        std::size_t got = 0;
        const auto batch = std::span(room).first(std::min(most - received.size(), room.size()));
        if (end_->of().try_recv_many(detail::host_party(), batch, got) != outcome::ok) {
            break; // nothing more now; why, the next call finds out
        }
        for (message& each : batch.first(got)) {
            received.push_back(detail::decode(std::move(each)));
        }
    }
    return received;
}

std::optional<value> recv_channel::next() {
    message m;
    const outcome how = await_message(*end_, m, std::nullopt);
    if (how == outcome::closed) {
        return std::nullopt;
    }
    require_sent(*end_, how);
    return detail::decode(std::move(m));
}

// ---- making them

std::pair<recv_channel, send_channel> create_channel(std::optional<std::size_t> capacity) {
    const std::shared_ptr<core::channel> made = core::channel::create(capacity);
    auto recv = std::make_shared<const channel_end>(made, core::end::recv);
    auto send = std::make_shared<const channel_end>(made, core::end::send);
    return {detail::access::with_end<recv_channel>(std::move(recv)),
            detail::access::with_end<send_channel>(std::move(send))};
}

namespace {

/// Throws type_error.
template <typename Channel> Channel channel_in(const value& v, core::end which, std::string_view expected) {
    auto end = detail::handle_in<channel_end>(v, expected);
    if (end->which() != which) {
        v.refuse(expected);
    }
    return detail::access::with_end<Channel>(std::move(end));
}

} // namespace

value conversion<send_channel>::to(const send_channel& v) {
    return value::of(value::handle(detail::access::end_of(v)));
}

send_channel conversion<send_channel>::from(const value& v) {
    return channel_in<send_channel>(v, core::end::send, "SendChannel");
}

value conversion<recv_channel>::to(const recv_channel& v) {
    return value::of(value::handle(detail::access::end_of(v)));
}

recv_channel conversion<recv_channel>::from(const value& v) {
    return channel_in<recv_channel>(v, core::end::recv, "RecvChannel");
}

} // namespace isthmus

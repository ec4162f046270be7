#include "cxx/ends.hpp"

#include <cstring>

namespace isthmus::detail {
namespace {

std::string name_of(const core::channel& of) {
    return "channel " + std::to_string(of.id());
}
std::string name_of(const core::queue& of) {
    return "queue " + std::to_string(of.id());
}

} // namespace

channel_end::channel_end(std::shared_ptr<core::channel> of, core::end which)
    : of_(std::move(of)), which_(which) {
    of_->add_holder(which_, host_party());
}

channel_end::~channel_end() {
    of_->drop_holder(which_, host_party());
}

std::unique_ptr<core::attachment> channel_end::pack() const {
    return std::make_unique<core::travelling_end>(of_, which_);
}

std::string_view channel_end::type_name() const noexcept {
    return which_ == core::end::recv ? "RecvChannel" : "SendChannel";
}

bool channel_end::same(const handle& other) const noexcept {
    const auto* const end = dynamic_cast<const channel_end*>(&other);
    return end != nullptr && end->of_ == of_ && end->which_ == which_;
}

queue_end::queue_end(std::shared_ptr<core::queue> of) : of_(std::move(of)) {
    of_->add_holder(core::end::recv, host_party());
}

queue_end::~queue_end() {
    of_->drop_holder(core::end::recv, host_party());
}

std::unique_ptr<core::attachment> queue_end::pack() const {
    return std::make_unique<core::travelling_end>(of_, core::end::recv);
}

std::string_view queue_end::type_name() const noexcept {
    return "Queue";
}

bool queue_end::same(const handle& other) const noexcept {
    const auto* const end = dynamic_cast<const queue_end*>(&other);
    return end != nullptr && end->of_ == of_;
}

notice_end::notice_end(std::shared_ptr<core::death_notice> of) : of_(std::move(of)) {
    of_->add_holder(core::end::recv, host_party());
}

notice_end::~notice_end() {
    of_->drop_holder(core::end::recv, host_party());
}

std::unique_ptr<core::attachment> notice_end::pack() const {
    return std::make_unique<core::travelling_death_notice>(of_);
}

std::string_view notice_end::type_name() const noexcept {
    return "ClosedEvent";
}

bool notice_end::same(const handle& other) const noexcept {
    const auto* const end = dynamic_cast<const notice_end*>(&other);
    return end != nullptr && end->of_ == of_;
}

void throw_outcome(core::outcome how, core::channel& of) {
    switch (how) {
    case core::outcome::would_block:
    case core::outcome::timed_out:
        throw timeout_error(name_of(of) + ": timed out");
    case core::outcome::closed:
        throw closed_error(name_of(of) + " is closed");
    case core::outcome::released:
        throw released_error(name_of(of) + ": the host has closed its end");
    case core::outcome::poisoned:
        throw poisoned_error(unpack_reason(*of.poison()));
    default:
        throw interpreter_error(name_of(of) + ": the host is being closed");
    }
}

void throw_queue_outcome(core::outcome how, core::end which, core::queue& of) {
    switch (how) {
    case core::outcome::would_block:
    case core::outcome::timed_out:
        throw timeout_error(name_of(of) + (which == core::end::recv ? " is empty" : " is full"));
    case core::outcome::closed:
        throw closed_error(name_of(of) + " is shut down");
    default:
        throw interpreter_error(name_of(of) + ": the host is being closed");
    }
}

value taken_out(const core::queue& of, core::message m) {
    if (!m.is_marker()) {
        return decode(std::move(m));
    }
    if (m.if_unbound() == core::unbound::error) {
        throw interpreter_error(name_of(of) + ": the interpreter that put this item is gone");
    }
    return {};
}

std::string pack_reason(std::string_view reason) {
    const auto size = static_cast<std::uint64_t>(reason.size());
    std::string packed(sizeof size, '\0');
    std::memcpy(packed.data(), &size, sizeof size);
    return packed.append(reason);
}

std::string unpack_reason(const std::string& packed) {
    std::uint64_t size = 0;
    if (packed.size() < sizeof size) {
        return packed;
    }
    std::memcpy(&size, packed.data(), sizeof size);
    return packed.substr(sizeof size, size);
}

} // namespace isthmus::detail

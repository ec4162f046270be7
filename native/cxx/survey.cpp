#include "cxx/survey.hpp"

#include "cxx/codec.hpp"

namespace isthmus::detail {
namespace {

using core::wire::tag;

/// Deeper values stay objects: code of the user's that walks through a value may recurse.
constexpr std::size_t deepest = 1'000;
/// A value that is met again becomes a copy. More copied parts than these and it stays an object, since few
/// bytes can refer to themselves so often that no memory would do.
constexpr std::uint64_t most_copied = 1'000'000;

/// CPython writes each str in the narrowest form, and no other is accepted.
bool fits_its_width(std::size_t width, std::uint32_t largest) noexcept {
    switch (width) {
    case 1:
        return true;
    case 2:
        return largest >= 0x100;
    default:
        return largest >= 0x10000 && largest <= 0x10FFFF;
    }
}

} // namespace

bool survey::readable() {
    do {
        if (!tokens_.next(now_) || !take()) {
            return false;
        }
    } while (!frames_.empty());
    return tokens_.at_end() && shares_ == from_.shares.size() && attachments_ == from_.attachments.size();
}

std::vector<bool> survey::met_again() const {
    std::vector<bool> made(known_.size());
    std::transform(known_.begin(), known_.end(), made.begin(),
                   [](const known& each) { return each.met_again; });
    return made;
}

bool survey::take() {
    switch (now_.is) {
    case tag::tuple:
    case tag::list:
    case tag::dict:
        return open();
    case tag::again:
        return again();
    case tag::twin:
        return shares_ < from_.shares.size() && from_.shares[shares_++] && leaf();
    case tag::attachment:
        return attachments_ < from_.attachments.size() && knows(from_.attachments[attachments_++].get()) &&
               leaf();
    case tag::ascii:
    case tag::text:
    case tag::name:
        return fits_its_width(now_.width,
                              now_.width == 1 ? 0 : largest_character(now_.data, now_.width, now_.count)) &&
               leaf();
    case tag::octets:
        return leaf();
    default:
        return deliver({});
    }
}

bool survey::knows(const core::attachment* travelling) noexcept {
    return travelling != nullptr && recognises(*travelling);
}

bool survey::leaf() {
    if (now_.remember) {
        known_.push_back({});
    }
    return deliver({});
}

bool survey::open() {
    if (frames_.size() == deepest) {
        return false;
    }
    const bool pairs = now_.is == tag::dict;
    const bool late = now_.is == tag::tuple;
    frames_.push_back({pairs ? now_.count * 2 : now_.count,
                       pairs,
                       late,
                       now_.remember,
                       known_.size(),
                       {.parts = 1, .height = 0, .may_change = !late}});
    if (now_.remember && !late) {
        known_.push_back({.of = {.parts = 0}});
    }
    return now_.count != 0 || deliver(finish());
}

bool survey::again() {
    if (now_.count >= known_.size()) {
        return false;
    }
    known& same = known_[now_.count];
    copied_ += same.of.parts;
    same.met_again = true;
    // Without parts: it is inside itself.
    return same.of.parts != 0 && copied_ <= most_copied && frames_.size() + same.of.height <= deepest &&
           deliver(same.of);
}

bool survey::deliver(facts part) {
    while (!frames_.empty()) {
        frame& f = frames_.back();
        if (f.pairs && f.left % 2 == 0 && part.may_change) {
            return false;
        }
        f.of.parts += part.parts;
        f.of.height = std::max(f.of.height, part.height);
        f.of.may_change = f.of.may_change || part.may_change;
        if (--f.left != 0) {
            return true;
        }
        part = finish();
    }
    return true;
}

survey::facts survey::finish() {
    frame f = frames_.back();
    frames_.pop_back();
    ++f.of.height;
    if (f.remember && f.late) {
        known_.push_back({.of = f.of});
    } else if (f.remember) {
        known_[f.number].of = f.of;
    }
    return f.of;
}

} // namespace isthmus::detail

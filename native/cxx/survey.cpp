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
        return deliver(1, 0);
    }
}

bool survey::knows(const core::attachment* travelling) noexcept {
    return travelling != nullptr && recognises(*travelling);
}

bool survey::leaf() {
    if (now_.remember) {
        known_.push_back({1, 0});
    }
    return deliver(1, 0);
}

bool survey::open() {
    if (frames_.size() == deepest) {
        return false;
    }
    const bool late = now_.is == tag::tuple;
    frames_.push_back(
        {now_.is == tag::dict ? now_.count * 2 : now_.count, late, now_.remember, known_.size()});
    if (now_.remember && !late) {
        known_.emplace_back();
    }
    return now_.count != 0 || close();
}

bool survey::again() {
    if (now_.count >= known_.size()) {
        return false;
    }
    known& same = known_[now_.count];
    copied_ += same.parts;
    same.met_again = true;
    // Without parts: it is inside itself.
    return same.parts != 0 && copied_ <= most_copied && frames_.size() + same.height <= deepest &&
           deliver(same.parts, same.height);
}

bool survey::deliver(std::uint64_t parts, std::size_t height) {
    if (frames_.empty()) {
        return true;
    }
    frame& f = frames_.back();
    f.parts += parts;
    f.height = std::max(f.height, height);
    return --f.left != 0 || close();
}

bool survey::close() {
    bool whole = true;
    while (whole) {
        const frame f = frames_.back();
        frames_.pop_back();
        if (f.remember) {
            if (f.late) {
                known_.emplace_back();
            }
            known& made = f.late ? known_.back() : known_[f.number];
            made.parts = f.parts;
            made.height = f.height + 1;
        }
        whole = !frames_.empty();
        if (whole) {
            frame& above = frames_.back();
            above.parts += f.parts;
            above.height = std::max(above.height, f.height + 1);
            whole = --above.left == 0;
        }
    }
    return true;
}

} // namespace isthmus::detail

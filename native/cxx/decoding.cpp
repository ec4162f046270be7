/// `decode`: messages as values. Any thread, no GIL.
///
/// A parcel is read twice. The first time nothing is taken from it: `survey` finds out whether all of it is
/// something that C++ knows, and well formed. If not, the message stays whole, inside an object. Nothing
/// recurses.
#include "cxx/codec.hpp"
#include "cxx/payload.hpp"
#include "cxx/survey.hpp"

#include <cassert>

namespace isthmus::detail {
namespace {

using core::message;
using core::parcel;
using core::wire::kind;
using core::wire::tag;

core::form form_of(std::size_t width, std::uint32_t largest) noexcept {
    if (width == 1) {
        return largest < 0x80 ? core::form::ascii : core::form::latin1;
    }
    return width == 2 ? core::form::ucs2 : core::form::ucs4;
}

/// The second reading, of what is known to be readable.
class builder {
  public:
    builder(parcel& from, std::vector<bool> met_again)
        : from_(from), tokens_(from.data), met_again_(std::move(met_again)), known_(met_again_.size()) {}

    /// Once.
    [[nodiscard]] value build() {
        do {
            [[maybe_unused]] const bool there = tokens_.next(now_);
            assert(there);
            take();
        } while (!frames_.empty());
        return std::move(root_);
    }

  private:
    struct frame {
        value made;
        std::uint64_t left; ///< parts to come
        bool remember;
        std::size_t number; ///< if it is a list or a dict
    };

    void take() {
        switch (now_.is) {
        case tag::nothing:
            return deliver({});
        case tag::yes:
        case tag::no:
            return deliver(value::of(now_.is == tag::yes));
        case tag::int8:
        case tag::int32:
        case tag::int64:
            return deliver(value::of(now_.integer));
        case tag::real:
            return deliver(value::of(now_.real));
        case tag::again:
            return deliver(value(known_[now_.count]));
        case tag::octets:
            return leaf(value::of(bytes(std::span(now_.data, now_.count))));
        case tag::twin:
            return leaf(from_share(std::move(from_.shares[shares_++])));
        case tag::attachment:
            return leaf(value::of(unpack(from_.attachments[attachments_++])));
        case tag::list:
            return open(value::of(value::list{}), now_.count);
        case tag::tuple:
            return open(value::of(value::tuple{}), now_.count);
        case tag::dict:
            return open(value::of(value::dict{}), now_.count * 2);
        default:
            return leaf(value::of(text_here()));
        }
    }

  public:
    [[nodiscard]] static value from_share(core::share held) {
        return access::holds_bytes(held) ? value::of(access::bytes_from(std::move(held)))
                                         : value::of(access::text_from(std::move(held)));
    }

  private:
    [[nodiscard]] text text_here() const {
        const std::uint32_t largest = now_.width == 1 ? largest_character(now_.data, 1, now_.count) : 0;
        return access::make_text(form_of(now_.width, largest), now_.data, now_.count);
    }

    void open(value empty, std::uint64_t parts) {
        if (auto* const list = empty.get_if<value::list>()) {
            list->reserve(parts);
        } else if (auto* const tuple = empty.get_if<value::tuple>()) {
            tuple->items.reserve(parts);
        } else {
            empty.get_if<value::dict>()->reserve(parts / 2);
        }
        const bool early = now_.remember && !empty.holds<value::tuple>();
        frames_.push_back({std::move(empty), parts, now_.remember, next_number_});
        next_number_ += early ? 1 : 0;
        close();
    }

    void leaf(value whole) {
        if (now_.remember) {
            keep(next_number_++, whole);
        }
        deliver(std::move(whole));
    }

    void keep(std::size_t number, const value& whole) {
        if (met_again_[number]) {
            known_[number] = whole;
        }
    }

    void deliver(value part) {
        if (frames_.empty()) {
            root_ = std::move(part);
            return;
        }
        add(frames_.back(), std::move(part));
        close();
    }

    static void add(frame& f, value part) {
        if (auto* const list = f.made.get_if<value::list>()) {
            list->push_back(std::move(part));
        } else if (auto* const tuple = f.made.get_if<value::tuple>()) {
            tuple->items.push_back(std::move(part));
        } else if (auto* const pairs = f.made.get_if<value::dict>(); f.left % 2 == 0) {
            pairs->emplace_back(std::move(part), value());
        } else {
            pairs->back().second = std::move(part);
        }
        --f.left;
    }

    /// Hands frames that have all their parts to those below them.
    void close() {
        while (!frames_.empty() && frames_.back().left == 0) {
            frame f = std::move(frames_.back());
            frames_.pop_back();
            if (f.remember) {
                keep(f.made.holds<value::tuple>() ? next_number_++ : f.number, f.made);
            }
            if (frames_.empty()) {
                root_ = std::move(f.made);
            } else {
                add(frames_.back(), std::move(f.made));
            }
        }
    }

    parcel& from_;
    scanner tokens_;
    std::vector<bool> met_again_;
    token now_;
    std::size_t shares_ = 0;
    std::size_t attachments_ = 0;
    std::size_t next_number_ = 0;
    std::vector<frame> frames_;
    std::vector<value> known_; ///< by number; None unless it is met again
    value root_;
};

/// False: it is not as long as its kind says.
template <typename Number> bool read_inline(const message& m, Number& into) noexcept {
    if (m.bytes().size() != sizeof into) {
        return false;
    }
    std::memcpy(&into, m.bytes().data(), sizeof into);
    return true;
}

text inline_text(std::span<const std::byte> characters) {
    const std::uint32_t largest = largest_character(characters.data(), 1, characters.size());
    return access::make_text(form_of(1, largest), characters.data(), characters.size());
}

/// Nothing: it stays an object.
std::optional<value> decode_inline(const message& m) {
    std::uint8_t truth = 0;
    std::int64_t integer = 0;
    double real = 0;
    switch (kind{m.kind()}) {
    case kind::nothing:
        return value();
    case kind::truth:
        return read_inline(m, truth) ? std::optional(value::of(truth != 0)) : std::nullopt;
    case kind::integer:
        return read_inline(m, integer) ? std::optional(value::of(integer)) : std::nullopt;
    case kind::real:
        return read_inline(m, real) ? std::optional(value::of(real)) : std::nullopt;
    case kind::octets:
        return value::of(bytes(m.bytes()));
    case kind::ascii:
        return value::of(inline_text(m.bytes()));
    default:
        return std::nullopt;
    }
}

std::optional<value> decode_known(message& m) {
    if (m.shape() == message::form::bytes) {
        return decode_inline(m);
    }
    if (m.shape() == message::form::shared && kind{m.kind()} == kind::twin) {
        return builder::from_share(m.take_share());
    }
    if (parcel* const body = m.body(); body != nullptr && kind{m.kind()} == kind::parcel) {
        survey first(*body);
        if (first.readable()) {
            return builder(*body, first.met_again()).build();
        }
    }
    return std::nullopt;
}

} // namespace

value decode(message m) {
    if (std::optional<value> known = decode_known(m)) {
        return std::move(*known);
    }
    return value::of(std::make_shared<const object>(std::move(m)));
}

} // namespace isthmus::detail

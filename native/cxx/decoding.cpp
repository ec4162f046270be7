/// `decode`: messages as values. Any thread, no GIL.
///
/// A parcel is read twice. The first time nothing is taken from it: `survey` finds out whether all of it is
/// something that C++ knows, and well formed. If not, the message stays whole, inside an object. Every read
/// is checked against the end of the data. Nothing recurses.
#include "cxx/codec.hpp"
#include "cxx/payload.hpp"

#include "core/wire.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace isthmus::detail {
namespace {

using core::message;
using core::parcel;
using core::wire::kind;
using core::wire::tag;

/// Deeper values stay objects: code of the user's that walks through a value may recurse.
constexpr std::size_t deepest = 1'000;
/// A value that is met again becomes a copy. More copied parts than these and it stays an object, since few
/// bytes can refer to themselves so often that no memory would do.
constexpr std::uint64_t most_copied = 1'000'000;

std::uint32_t largest_character(const std::byte* data, std::size_t width, std::uint64_t length) noexcept {
    std::uint32_t largest = 0;
    for (std::uint64_t i = 0; i < length; ++i) {
        std::uint32_t character =
            0; // what is not copied into stays zero: little endian, as the supported are
        std::memcpy(&character, data + i * width, width);
        largest = std::max(largest, character);
    }
    return largest;
}

core::form form_of(std::size_t width, std::uint32_t largest) noexcept {
    if (width == 1) {
        return largest < 0x80 ? core::form::ascii : core::form::latin1;
    }
    return width == 2 ? core::form::ucs2 : core::form::ucs4;
}

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

/// A tag and its operands.
struct token {
    tag is = tag::nothing;
    bool remember = false;
    std::int64_t integer = 0;
    double real = 0;
    std::size_t width = 1;           ///< bytes of a character
    std::uint64_t count = 0;         ///< bytes, characters, values, pairs; or the number that `again` names
    const std::byte* data = nullptr; ///< of octets and texts
};

/// Reads token after token.
class scanner {
  public:
    explicit scanner(const core::byte_buffer& data) noexcept : at_(data.data()), left_(data.size()) {}

    [[nodiscard]] bool at_end() const noexcept { return left_ == 0; }

    /// False: the data ends, or makes no sense, or is nothing that C++ knows.
    [[nodiscard]] bool next(token& t) noexcept {
        std::uint8_t first = 0;
        if (!read(first)) {
            return false;
        }
        t.remember = (first & core::wire::remembered) != 0;
        t.is = tag{static_cast<std::uint8_t>(first & ~core::wire::remembered)};
        return operands(t);
    }

  private:
    [[nodiscard]] bool operands(token& t) noexcept {
        switch (t.is) {
        case tag::nothing:
        case tag::yes:
        case tag::no:
        case tag::twin:
        case tag::attachment:
            return true;
        case tag::int8:
            return integer<std::int8_t>(t);
        case tag::int32:
            return integer<std::int32_t>(t);
        case tag::int64:
            return integer<std::int64_t>(t);
        case tag::real:
            return read(t.real);
        case tag::octets:
        case tag::ascii:
            t.width = 1;
            return characters(t);
        case tag::text:
        case tag::name: {
            std::uint8_t width = 0;
            const bool known = read(width) && (width == 1 || width == 2 || width == 4);
            t.width = width;
            return known && characters(t);
        }
        case tag::again:
            return count(t.count);
        case tag::tuple:
        case tag::list:
            return count(t.count) && t.count <= left_;
        case tag::dict:
            return count(t.count) && t.count <= left_ / 2;
        default:
            return false;
        }
    }

    template <typename Number> [[nodiscard]] bool read(Number& into) noexcept {
        if (left_ < sizeof into) {
            return false;
        }
        std::memcpy(&into, at_, sizeof into);
        at_ += sizeof into;
        left_ -= sizeof into;
        return true;
    }
    template <typename Number> [[nodiscard]] bool integer(token& t) noexcept {
        Number n{};
        const bool there = read(n);
        t.integer = n;
        return there;
    }
    [[nodiscard]] bool count(std::uint64_t& into) noexcept {
        std::uint8_t small = 0;
        if (!read(small)) {
            return false;
        }
        into = small;
        return small != 255 || read(into);
    }
    [[nodiscard]] bool characters(token& t) noexcept {
        if (!count(t.count) || t.count > left_ / t.width) {
            return false;
        }
        t.data = at_;
        at_ += t.count * t.width;
        left_ -= t.count * t.width;
        return true;
    }

    const std::byte* at_;
    std::size_t left_;
};

/// The first reading.
class survey {
  public:
    explicit survey(const parcel& of) noexcept : from_(of), tokens_(of.data) {}

    /// Whether it can become a value.
    [[nodiscard]] bool readable() {
        do {
            if (!tokens_.next(now_) || !take()) {
                return false;
            }
        } while (!frames_.empty());
        return tokens_.at_end() && shares_ == from_.shares.size() && attachments_ == from_.attachments.size();
    }

    /// By number: whether it is met again.
    [[nodiscard]] std::vector<bool> met_again() const {
        std::vector<bool> made(known_.size());
        std::transform(known_.begin(), known_.end(), made.begin(),
                       [](const known& each) { return each.met_again; });
        return made;
    }

  private:
    struct known {
        std::uint64_t parts = 0; ///< values that it is made of, itself included; 0: not whole yet
        std::size_t height = 0;  ///< levels
        bool met_again = false;
    };
    struct frame {
        std::uint64_t left; ///< parts to come
        bool late;          ///< it gets its number once it is whole
        bool remember;
        std::size_t number; ///< in known_, if it is remembered early
        std::uint64_t parts = 1;
        std::size_t height = 0; ///< of its highest part
    };

    /// False: not readable.
    [[nodiscard]] bool take() {
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
            return attachments_ < from_.attachments.size() &&
                   knows(from_.attachments[attachments_++].get()) && leaf();
        case tag::ascii:
        case tag::text:
        case tag::name:
            return fits_its_width(now_.width, now_.width == 1
                                                  ? 0
                                                  : largest_character(now_.data, now_.width, now_.count)) &&
                   leaf();
        case tag::octets:
            return leaf();
        default:
            return deliver(1, 0);
        }
    }

    [[nodiscard]] static bool knows(const core::attachment* travelling) noexcept {
        return travelling != nullptr && recognises(*travelling);
    }

    [[nodiscard]] bool leaf() {
        if (now_.remember) {
            known_.push_back({1, 0});
        }
        return deliver(1, 0);
    }

    [[nodiscard]] bool open() {
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

    [[nodiscard]] bool again() {
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

    /// The top frame gets a part.
    [[nodiscard]] bool deliver(std::uint64_t parts, std::size_t height) {
        if (frames_.empty()) {
            return true;
        }
        frame& f = frames_.back();
        f.parts += parts;
        f.height = std::max(f.height, height);
        return --f.left != 0 || close();
    }

    /// The top frame, and those that it was the last part of, are whole.
    [[nodiscard]] bool close() {
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

    const parcel& from_;
    scanner tokens_;
    token now_;
    std::size_t shares_ = 0;
    std::size_t attachments_ = 0;
    std::uint64_t copied_ = 0;
    std::vector<frame> frames_;
    std::vector<known> known_;
};

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

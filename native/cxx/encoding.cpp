/// `encode`: values as messages. Any thread, no GIL. Nothing recurses: a value may be as deep as there is
/// memory. A failure leaves nothing behind: what was packed so far goes with the parcel.
#include "cxx/codec.hpp"
#include "cxx/payload.hpp"

#include "core/memory.hpp"
#include "core/stats.hpp"
#include "core/wire.hpp"

#include <string>

namespace isthmus::detail {
namespace {

using core::message;
using core::wire::kind;
using core::wire::tag;

template <typename Number> message inline_number(kind k, const Number& n) noexcept {
    return {static_cast<std::uint8_t>(k), std::as_bytes(std::span(&n, 1))};
}

/// What is this large should have lain in shared memory.
void count_copy(core::form form, std::size_t length) noexcept {
    const std::size_t size =
        core::header_size(form) + core::data_size(form, static_cast<std::int64_t>(length));
    if (size >= core::memory().chosen().threshold) {
        core::statistics::add(core::counter::payload_bytes_copied, size);
        core::statistics::add(core::counter::fallback_copies);
    }
}

/// What has no parts and no share, or a container's head.
class parcel_writer {
  public:
    explicit parcel_writer(core::parcel& into) noexcept : into_(into) {}

    void put(tag t) { put_number(t); }
    template <typename Number> void put_number(Number n) { into_.data.append(&n, sizeof n); }
    void put_count(std::size_t n) {
        constexpr std::size_t long_form = 255;
        put_number(static_cast<std::uint8_t>(n < long_form ? n : long_form));
        if (n >= long_form) {
            put_number(static_cast<std::uint64_t>(n));
        }
    }
    void put_integer(std::int64_t n) {
        if (n == static_cast<std::int8_t>(n)) {
            put(tag::int8);
            put_number(static_cast<std::int8_t>(n));
        } else if (n == static_cast<std::int32_t>(n)) {
            put(tag::int32);
            put_number(static_cast<std::int32_t>(n));
        } else {
            put(tag::int64);
            put_number(n);
        }
    }
    void put_bytes(const bytes& b) {
        if (core::share held = access::share_of(b)) {
            return put_share(std::move(held));
        }
        count_copy(core::form::bytes, b.size());
        put(tag::octets);
        put_count(b.size());
        into_.data.append(b.data(), b.size());
    }
    void put_text(const text& t) {
        if (core::share held = access::share_of(t)) {
            return put_share(std::move(held));
        }
        const core::form form = access::form_of(t);
        count_copy(form, t.length());
        if (form == core::form::ascii) {
            put(tag::ascii);
        } else {
            put(tag::text);
            put_number(static_cast<std::uint8_t>(core::character_size(form)));
        }
        put_count(t.length());
        const std::span<const std::byte> characters = access::characters_of(t);
        into_.data.append(characters.data(), characters.size());
    }
    void put_handle(const handle& h) {
        into_.attachments.push_back(h.pack());
        put(tag::attachment);
    }

  private:
    void put_share(core::share held) {
        into_.shares.push_back(std::move(held));
        put(tag::twin);
    }

    core::parcel& into_;
};

/// Writes a value with its parts.
class encoder {
  public:
    explicit encoder(core::parcel& into) noexcept : to_(into) {}

    void write(const value& root) {
        begin(root, false);
        while (!frames_.empty()) {
            advance();
        }
    }

  private:
    struct frame {
        const std::vector<value>* items; ///< of a list or tuple; null: of a dict
        const value::dict* pairs;
        bool in_key; ///< it is, or is part of, a key
        std::size_t count;
        std::size_t at = 0; ///< of the next part; a pair has two
    };

    static const value& part_of(const frame& f, std::size_t at) noexcept {
        if (f.items != nullptr) {
            return (*f.items)[at];
        }
        const auto& [key, each] = (*f.pairs)[at / 2];
        return at % 2 == 0 ? key : each;
    }
    static bool is_key(const frame& f, std::size_t at) noexcept { return f.items == nullptr && at % 2 == 0; }

    void advance() {
        const std::size_t depth = frames_.size();
        while (frames_.size() == depth) {
            frame& f = frames_.back();
            if (f.at == f.count) {
                return frames_.pop_back();
            }
            const std::size_t at = f.at++;
            begin(part_of(f, at), f.in_key || is_key(f, at));
        }
    }

    /// Writes it, or its head: then the top frame is another one.
    void begin(const value& v, bool in_key) {
        std::visit([&](const auto& held) { put(held, in_key); }, v.held());
    }

    void put(std::monostate, bool) { to_.put(tag::nothing); }
    void put(bool truth, bool) { to_.put(truth ? tag::yes : tag::no); }
    void put(std::int64_t n, bool) { to_.put_integer(n); }
    void put(double n, bool) {
        to_.put(tag::real);
        to_.put_number(n);
    }
    void put(const bytes& b, bool) { to_.put_bytes(b); }
    void put(const text& t, bool) { to_.put_text(t); }
    void put(const value::handle& h, bool) {
        if (h == nullptr) {
            refuse("a handle that holds nothing");
        }
        to_.put_handle(*h);
    }
    void put(const value::object&, bool) {
        refuse("an object that Python alone knows can only be sent by itself");
    }
    void put(const value::list& items, bool in_key) {
        if (in_key) {
            refuse("a list can't be in the key of a dict");
        }
        open(tag::list, {&items, nullptr, in_key, items.size()}, items.size());
    }
    void put(const value::tuple& tuple, bool in_key) {
        open(tag::tuple, {&tuple.items, nullptr, in_key, tuple.items.size()}, tuple.items.size());
    }
    void put(const value::dict& pairs, bool in_key) {
        if (in_key) {
            refuse("a dict can't be in the key of a dict");
        }
        open(tag::dict, {nullptr, &pairs, in_key, pairs.size() * 2}, pairs.size());
    }
    void open(tag t, const frame& f, std::size_t count) {
        to_.put(t);
        to_.put_count(count);
        frames_.push_back(f);
    }

    // ---- what is said of a part that can't cross

    static std::string step(const frame& f) {
        const std::size_t at = f.at - 1;
        if (f.items != nullptr) {
            return "[" + std::to_string(at) + "]";
        }
        if (is_key(f, at)) {
            return ".keys()[" + std::to_string(at / 2) + "]";
        }
        const value& key = part_of(f, at - 1);
        if (const text* const name = key.get_if<text>()) {
            constexpr std::size_t most = 60;
            return name->length() <= most ? "['" + name->str() + "']" : "[<long str>]";
        }
        if (const auto* const number = key.get_if<std::int64_t>()) {
            return "[" + std::to_string(*number) + "]";
        }
        return "[<" + std::string(key.type_name()) + ">]";
    }

    [[noreturn]] void refuse(const char* why) const {
        constexpr std::size_t shown = 10; // at either end of a long path
        std::string path;
        for (std::size_t i = 0; i < frames_.size(); ++i) {
            if (i == shown && frames_.size() > 2 * shown) {
                path += "...";
                i = frames_.size() - shown;
            }
            path += step(frames_[i]);
        }
        throw not_shareable_error(path.empty() ? why : path + ": " + why);
    }

    parcel_writer to_;
    std::vector<frame> frames_;
};

message small_payload(kind k, std::span<const std::byte> data) noexcept {
    return {static_cast<std::uint8_t>(k), data};
}

/// The kinds that need no parcel; an empty message for all else.
struct simple_encoder {
    message operator()(std::monostate) const { return small_payload(kind::nothing, {}); }
    message operator()(bool truth) const {
        return inline_number(kind::truth, static_cast<std::uint8_t>(truth ? 1 : 0));
    }
    message operator()(std::int64_t n) const { return inline_number(kind::integer, n); }
    message operator()(double n) const { return inline_number(kind::real, n); }
    message operator()(const bytes& b) const {
        return b.size() <= message::inline_capacity ? small_payload(kind::octets, b.span())
                                                    : twin(access::share_of(b));
    }
    message operator()(const text& t) const {
        return t.length() <= message::inline_capacity && t.is_ascii()
                   ? small_payload(kind::ascii, access::characters_of(t))
                   : twin(access::share_of(t));
    }
    message operator()(const value::object& o) const { return o != nullptr ? o->again() : message{}; }
    template <typename Other> message operator()(const Other&) const { return {}; }

    static message twin(core::share held) {
        return held ? message{static_cast<std::uint8_t>(kind::twin), std::move(held)} : message{};
    }
};

core::share another(const core::share& held) noexcept {
    if (held.get() != nullptr) {
        core::add_share(*held.get());
    }
    return core::share(held.get());
}

/// Null: something travels in it that there is only one of.
std::unique_ptr<core::parcel> copy_of(const core::parcel& from) {
    auto made = std::make_unique<core::parcel>();
    for (const std::unique_ptr<core::attachment>& each : from.attachments) {
        std::unique_ptr<core::attachment> copied = each->again();
        if (copied == nullptr) {
            return nullptr;
        }
        made->attachments.push_back(std::move(copied));
    }
    made->data.append(from.data.data(), from.data.size());
    made->shares.reserve(from.shares.size());
    for (const core::share& each : from.shares) {
        made->shares.push_back(another(each));
    }
    return made;
}

} // namespace

message encode(const value& v) {
    message simple = std::visit(simple_encoder{}, v.held());
    if (!simple.empty()) {
        return simple;
    }
    auto body = std::make_unique<core::parcel>();
    encoder(*body).write(v);
    return {static_cast<std::uint8_t>(kind::parcel), std::move(body)};
}

message object::again() const {
    const std::lock_guard alone(lock_);
    if (held_.empty()) {
        throw not_shareable_error("an object that can be sent only once was sent before");
    }
    if (const core::parcel* const body = held_.body()) {
        std::unique_ptr<core::parcel> copied = copy_of(*body);
        return copied != nullptr ? message{held_.kind(), std::move(copied), held_.bytes()} : std::move(held_);
    }
    if (core::slot* const slot = held_.shared_slot()) {
        core::add_share(*slot);
        return {held_.kind(), core::share(slot), held_.bytes()};
    }
    return {held_.kind(), held_.bytes()};
}

void object::give_back(message m) const noexcept {
    const std::lock_guard alone(lock_);
    if (held_.empty()) {
        held_ = std::move(m);
    }
}

outgoing::~outgoing() {
    if (of != nullptr && !what.empty()) {
        if (const auto* const o = of->get_if<value::object>()) {
            (*o)->give_back(std::move(what));
        }
    }
}

} // namespace isthmus::detail

/// What the tests of values as messages share: parcels made by hand, and what is expected of them.
#pragma once

#include "balance.hpp"
#include "core/conduit.hpp"
#include "core/memory.hpp"
#include "core/seed.hpp"
#include "core/wire.hpp"
#include "cxx/codec.hpp"
#include <cstring>
#include <functional>
#include <isthmus/channel.hpp>
#include <isthmus/queue.hpp>
#include <limits>
#include <random>

namespace isthmus::test {

using core::message;
using core::wire::kind;
using core::wire::tag;
using detail::decode;
using detail::encode;

class codec : public balanced {};

/// A parcel by hand.
class parcel_maker {
  public:
    parcel_maker& put(tag t, bool remember = false) {
        return number(static_cast<std::uint8_t>(static_cast<std::uint8_t>(t) |
                                                (remember ? core::wire::remembered : 0)));
    }
    template <typename Number> parcel_maker& number(Number n) {
        made_->data.append(&n, sizeof n);
        return *this;
    }
    parcel_maker& count(std::uint8_t n) { return number(n); }
    parcel_maker& raw(std::string_view data) {
        made_->data.append(data.data(), data.size());
        return *this;
    }
    parcel_maker& attach(std::unique_ptr<core::attachment> what) {
        made_->attachments.push_back(std::move(what));
        return put(tag::attachment);
    }
    parcel_maker& ascii(std::string_view text, bool remember = false) {
        return put(tag::ascii, remember).count(static_cast<std::uint8_t>(text.size())).raw(text);
    }
    [[nodiscard]] message done() {
        message m(static_cast<std::uint8_t>(kind::parcel), std::move(made_));
        made_ = std::make_unique<core::parcel>();
        return m;
    }

  private:
    std::unique_ptr<core::parcel> made_ = std::make_unique<core::parcel>();
};

inline std::string data_of(const message& m) {
    const core::parcel* const body = m.body();
    return body == nullptr ? std::string("no parcel")
                           : std::string(reinterpret_cast<const char*>(body->data.data()), body->data.size());
}

/// It stays an object, and what is sent again is what came.
inline void expect_object(message m) {
    const std::string before = data_of(m);
    const std::uint8_t its_kind = m.kind();
    const value kept = decode(std::move(m));
    ASSERT_TRUE(kept.is_object());
    EXPECT_EQ(kept.type_name(), "object");
    const message again = encode(kept);
    EXPECT_EQ(data_of(again), before);
    EXPECT_EQ(again.kind(), its_kind);
}

inline void expect_round_trip(const value& v) {
    EXPECT_EQ(decode(encode(v)), v);
}

inline kind kind_of(const value& v) {
    return kind{encode(v).kind()};
}

inline value levels(std::size_t depth) {
    value made;
    for (std::size_t i = 0; i < depth; ++i) {
        value::list items;
        items.push_back(std::move(made));
        made = value::of(std::move(items));
    }
    return made;
}

} // namespace isthmus::test

/// text: the four forms of CPython's `str`, UTF-8 there and back, and what is not UTF-8.
#include "bytes_fixture.hpp"

#include <isthmus/error.hpp>

#include <stdexcept>
#include <thread>
#include <vector>

namespace isthmus::test {
namespace {

using core::form;

/// An encoder of the test's own.
std::string utf8_of(char32_t c) {
    const auto tail = [c](unsigned shift) { return static_cast<char>(0x80 + ((c >> shift) & 0x3f)); };
    if (c < 0x80) {
        return {static_cast<char>(c)};
    }
    if (c < 0x800) {
        return {static_cast<char>(0xc0 + (c >> 6)), tail(0)};
    }
    if (c < 0x10000) {
        return {static_cast<char>(0xe0 + (c >> 12)), tail(6), tail(0)};
    }
    return {static_cast<char>(0xf0 + (c >> 18)), tail(12), tail(6), tail(0)};
}

std::string utf8_of(const std::u32string& all) {
    std::string utf8;
    for (const char32_t c : all) {
        utf8 += utf8_of(c);
    }
    return utf8;
}

/// The items of a text, as numbers.
std::u32string items_of(const text& t) {
    const std::span<const std::byte> raw = access::characters_of(t);
    const std::size_t size = core::character_size(access::form_of(t));
    std::u32string items;
    for (std::size_t at = 0; at < raw.size(); at += size) {
        std::uint32_t item = 0;
        std::memcpy(&item, raw.data() + at, size); // little endian
        items.push_back(item);
    }
    return items;
}

form narrowest_of(const std::u32string& all) {
    char32_t highest = 0;
    for (const char32_t c : all) {
        highest = std::max(highest, c);
    }
    return highest < 0x80      ? form::ascii
           : highest < 0x100   ? form::latin1
           : highest < 0x10000 ? form::ucs2
                               : form::ucs4;
}

using texts = bytes_test;

TEST_F(texts, of_nothing_are_empty) {
    const text none;
    EXPECT_TRUE(none.empty());
    EXPECT_TRUE(none.is_ascii());
    EXPECT_EQ(none.str(), "");
    EXPECT_EQ(none.ascii(), "");
    EXPECT_EQ(none, text(""));
    EXPECT_FALSE(none.shared());
    EXPECT_FALSE(access::share_of(none));
    EXPECT_EQ(access::form_of(none), form::ascii);
    EXPECT_TRUE(access::characters_of(none).empty());
    EXPECT_EQ(access::make_text(form::ascii, nullptr, 0), none);
}

struct example {
    std::u32string points;
    form wanted;
};

TEST_F(texts, have_the_narrowest_form) {
    const std::vector<example> all = {
        {U"a", form::ascii},
        {U"\x7f", form::ascii},
        {U"\x80", form::latin1},
        {U"caf\u00e9", form::latin1},
        {U"\u00ff", form::latin1},
        {U"\u0100", form::ucs2},
        {U"\u00e9\u20ac", form::ucs2},
        {U"\uffff", form::ucs2},
        {{0xd800}, form::ucs2},
        {{0xdfff, U'x'}, form::ucs2},
        {{0xd83d, 0xde00}, form::ucs2}, // two lone surrogates are not joined
        {U"\U00010000", form::ucs4},
        {U"a\u00e9\u20ac\U0001f600", form::ucs4},
        {U"\U0010ffff", form::ucs4},
        {std::u32string(U"a\0b", 3), form::ascii},
    };
    for (const example& each : all) {
        const std::string utf8 = utf8_of(each.points);
        const text made(utf8);
        EXPECT_EQ(access::form_of(made), each.wanted) << utf8;
        EXPECT_EQ(made.length(), each.points.size());
        EXPECT_EQ(items_of(made), each.points);
        EXPECT_EQ(made.str(), utf8);
        EXPECT_EQ(made.is_ascii(), each.wanted == form::ascii);
        const std::span<const std::byte> raw = access::characters_of(made);
        EXPECT_EQ(access::make_text(each.wanted, raw.data(), made.length()), made);
        const std::string end(reinterpret_cast<const char*>(raw.data() + raw.size()),
                              core::character_size(each.wanted));
        EXPECT_EQ(end, std::string(end.size(), '\0')) << "terminated";
    }
}

TEST_F(texts, show_ascii_and_nothing_else_without_a_copy) {
    const text made("plain");
    EXPECT_EQ(made.ascii(), "plain");
    EXPECT_EQ(static_cast<const void*>(made.ascii().data()), access::characters_of(made).data());
    EXPECT_THROW(static_cast<void>(text("caf\xc3\xa9").ascii()), type_error);
}

TEST_F(texts, compare_by_code_points) {
    EXPECT_EQ(text("abc"), text("abc"));
    EXPECT_FALSE(text("abc") == text("abd"));
    EXPECT_FALSE(text("abc") == text("ab"));
    // The same items in two forms: 'A', and U+4141 as its bytes.
    EXPECT_FALSE(text("AA") == text(utf8_of(U"\u4141\u4141")));
    EXPECT_FALSE(text(utf8_of(U"\u00e9")) == text("e"));
}

TEST_F(texts, that_were_moved_from_are_empty) {
    text first("moved");
    text second(std::move(first));
    EXPECT_TRUE(first.empty()); // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(first.str(), "");
    first = std::move(second);
    EXPECT_EQ(first.str(), "moved");
    EXPECT_TRUE(second.empty()); // NOLINT(bugprone-use-after-move)
    const text copy(first);
    EXPECT_TRUE(copy.same_memory(first));
    EXPECT_FALSE(copy.same_memory(text("moved")));
}

TEST_F(texts, come_back_as_they_were_whatever_is_in_them) {
    dice chance(core::test::test_seed());
    constexpr std::array<char32_t, 4> beyond = {0x80, 0x100, 0x10000, 0x110000};
    for (int n = 0; n < 4'000; ++n) {
        std::u32string points(chance.roll(60), U'\0');
        const char32_t end = beyond[chance.roll(beyond.size())];
        const bool mostly_ascii = chance.once_in(2);
        for (char32_t& c : points) {
            c = static_cast<char32_t>(chance.roll(mostly_ascii && !chance.once_in(8) ? 0x80 : end));
        }
        const std::string utf8 = utf8_of(points);
        const text made(utf8);
        ASSERT_EQ(items_of(made), points);
        ASSERT_EQ(access::form_of(made), narrowest_of(points));
        ASSERT_EQ(made.str(), utf8);
    }
}

struct broken {
    std::string utf8;
    std::size_t at;
};

TEST_F(texts, refuse_what_is_not_utf8_and_say_where) {
    const std::vector<broken> all = {
        {"\x80", 0},                           // a continuation
        {"abc\xbf", 3},                        //
        {"\xc0\x80", 0},                       // overlong
        {"\xc1\xbf", 0},                       //
        {"\xe0\x80\x80", 0},                   //
        {"x\xe0\x9f\xbf", 1},                  //
        {"\xf0\x80\x80\x80", 0},               //
        {"\xf0\x8f\xbf\xbf", 0},               //
        {"\xf4\x90\x80\x80", 0},               // beyond U+10FFFF
        {"\xf5\x80\x80\x80", 0},               //
        {"\xf8\x88\x80\x80\x80", 0},           // five bytes
        {"\xff", 0},                           //
        {"\xfe", 0},                           //
        {"\xc3", 0},                           // truncated
        {"12345678\xe2\x82", 8},               //
        {"caf\xc3\xa9 \xf0\x9f\x98", 6},       //
        {"\xc3(", 0},                          // cut off by another character
        {"\xe2\x82(", 0},                      //
        {"\xe2(\xac", 0},                      //
        {"\xf0\x9f\x98(", 0},                  //
        {"\xc3\xa9\xc3\xc3\xa9", 2},           //
        {std::string(100, 'a') + "\xed", 100}, // half a surrogate
    };
    for (const broken& each : all) {
        try {
            const text made(each.utf8);
            ADD_FAILURE() << "accepted, as " << made.length() << " code points";
        } catch (const std::invalid_argument& refused) {
            EXPECT_EQ(std::string(refused.what()), "not UTF-8 at byte " + std::to_string(each.at));
        }
    }
}

TEST_F(texts, of_random_bytes_are_refused_or_come_back) {
    dice chance(core::test::test_seed() + 1);
    int accepted = 0;
    for (int n = 0; n < 20'000; ++n) {
        std::string utf8(1 + chance.roll(6), '\0');
        for (char& each : utf8) {
            each = static_cast<char>(chance.once_in(2) ? chance.roll(256) : 0x80 + chance.roll(0x40));
        }
        try {
            ASSERT_EQ(text(utf8).str(), utf8);
            ++accepted;
        } catch (const std::invalid_argument&) {
            continue;
        }
    }
    EXPECT_GT(accepted, 100);
}

/// Text of that many characters, the last of which sets the form.
std::u32string long_text(form f, std::size_t length) {
    std::u32string points(length, U'a');
    for (std::size_t at = 0; at < length; ++at) {
        points[at] = U'a' + static_cast<char32_t>(at % 26);
    }
    points.back() = f == form::ascii    ? U'z'
                    : f == form::latin1 ? U'\u00e9'
                    : f == form::ucs2   ? U'\u20ac'
                                        : U'\U0001f600';
    return points;
}

TEST_F(texts, cross_to_interpreters_in_each_form) {
    actor other;
    for (const form f : {form::ascii, form::latin1, form::ucs2, form::ucs4}) {
        const std::size_t item = core::character_size(f);
        const std::size_t least = (memory().chosen().threshold - core::header_size(f)) / item - 1;
        for (const std::size_t length : {least - 1, least, std::size_t{200'000}}) {
            const std::u32string points = long_text(f, length);
            const text made(utf8_of(points));
            ASSERT_EQ(access::form_of(made), f);
            EXPECT_EQ(made.shared(), length >= least) << length;
            EXPECT_EQ(items_of(made), points);
            if (!made.shared()) {
                continue;
            }
            void* const twin = receive(other, access::share_of(made));
            ASSERT_NE(twin, nullptr);
            EXPECT_FALSE(access::holds_bytes(access::share_of(made)));
            const std::span<const std::byte> raw = access::characters_of(made);
            const std::string_view data(reinterpret_cast<const char*>(raw.data()), raw.size());
            EXPECT_EQ(seen_at(twin), terminated(data, item));
            EXPECT_EQ(memory().find(twin)->record.length, static_cast<std::int64_t>(length));
            core::add_share(*memory().find(twin));
            EXPECT_TRUE(access::text_from(core::share(memory().find(twin))).same_memory(made));
            other.drop(twin);
        }
    }
}

TEST_F(texts, come_from_interpreters_in_each_form) {
    actor owner;
    for (const form f : {form::ascii, form::latin1, form::ucs2, form::ucs4}) {
        const std::u32string points = long_text(f, 100'000);
        std::string raw;
        for (const char32_t c : points) {
            raw.append(reinterpret_cast<const char*>(&c), core::character_size(f)); // little endian
        }
        slot* const s = make_object(owner, f, raw, static_cast<std::int64_t>(points.size()));
        ASSERT_NE(s, nullptr);
        {
            const text received = access::text_from(owner.send(*s));
            EXPECT_TRUE(received.shared());
            EXPECT_EQ(access::form_of(received), f);
            EXPECT_EQ(items_of(received), points);
            EXPECT_EQ(received.str(), utf8_of(points));
            EXPECT_EQ(received, text(utf8_of(points)));
            EXPECT_FALSE(received.same_memory(text(utf8_of(points))));
            const text again = access::text_from(owner.send(*s));
            EXPECT_TRUE(again.same_memory(received));
        }
        EXPECT_EQ(owner.drain(), 1U);
        owner.drop(*s);
    }
    EXPECT_EQ(fallback_copies(), 0U);
}

} // namespace
} // namespace isthmus::test

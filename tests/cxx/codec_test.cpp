/// Values as messages and back: what is written, what Python writes, what stays an object, malformed data.
#include "codec_fixture.hpp"

namespace isthmus::test {
namespace {

TEST_F(codec, small_values_need_no_parcel) {
    EXPECT_EQ(kind_of({}), kind::nothing);
    EXPECT_EQ(kind_of(true), kind::truth);
    EXPECT_EQ(kind_of(-5), kind::integer);
    EXPECT_EQ(kind_of(0.5), kind::real);
    EXPECT_EQ(kind_of(bytes(std::string(48, 'x'))), kind::octets);
    EXPECT_EQ(kind_of(bytes(std::string(49, 'x'))), kind::parcel);
    EXPECT_EQ(kind_of(std::string(48, 'x')), kind::ascii);
    EXPECT_EQ(kind_of(std::string(49, 'x')), kind::parcel);
    EXPECT_EQ(kind_of("\xc3\xa9"), kind::parcel);
    EXPECT_EQ(kind_of(""), kind::ascii);
    EXPECT_EQ(kind_of(bytes()), kind::octets);
}

TEST_F(codec, leaves_come_back_as_they_were) {
    for (const std::int64_t n :
         {std::int64_t{0}, std::int64_t{-128}, std::int64_t{127}, std::int64_t{128}, std::int64_t{-129},
          std::int64_t{2'147'483'647}, std::int64_t{-2'147'483'649}, std::numeric_limits<std::int64_t>::min(),
          std::numeric_limits<std::int64_t>::max()}) {
        expect_round_trip(n);
        expect_round_trip(std::vector{n});
    }
    for (const char* const each :
         {"", "a", "\xc3\xa9t\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\xa0\x80"}) {
        expect_round_trip(each);
        expect_round_trip(std::vector<std::string>{each, std::string(300, 'x') + each});
    }
    for (const std::size_t size : {0U, 1U, 48U, 49U, 254U, 255U, 256U, 70'000U}) {
        expect_round_trip(bytes(std::string(size, 'x')));
        expect_round_trip(std::string(size, 'y'));
        expect_round_trip(std::vector{bytes(std::string(size, 'z'))});
    }
    expect_round_trip(std::tuple(true, false, nullptr, 1.5, -0.0));
    expect_round_trip(value::of(value::dict{}));
    expect_round_trip(value::of(value::tuple{}));
    expect_round_trip(value::of(value::list(300)));
}

TEST_F(codec, large_payloads_travel_as_shares_if_they_have_one) {
    const bytes large(std::string(1'000'000, 'x'));
    if (!large.shared()) {
        GTEST_SKIP() << "no shared memory here";
    }
    EXPECT_EQ(kind_of(large), kind::twin);
    const value many = std::vector{large, large};
    const message m = encode(many);
    ASSERT_NE(m.body(), nullptr);
    EXPECT_EQ(m.body()->shares.size(), 2U);
    EXPECT_EQ(m.body()->data.size(), 4U);
    const value back = decode(encode(many));
    EXPECT_TRUE(back[0].as<bytes>().same_memory(large));
    EXPECT_EQ(back, many);
    const text letters(std::string(1'000'000, 'y') + "\xc3\xa9");
    const value text_back = decode(encode(std::pair(letters, large)));
    EXPECT_TRUE(text_back[0].as<text>().same_memory(letters));
    EXPECT_EQ(text_back[0].as<text>(), letters);
}

// ---- by chance

class chance {
  public:
    explicit chance(std::uint64_t seed) : engine_(seed) {}
    std::size_t roll(std::size_t sides) { return static_cast<std::size_t>(engine_() % sides); }

    value any(std::size_t depth) {
        if (depth == 0 || roll(3) == 0) {
            return leaf();
        }
        const std::size_t count = roll(6);
        value::list items;
        value::dict pairs;
        for (std::size_t i = 0; i < count; ++i) {
            items.push_back(any(depth - 1));
            pairs.emplace_back(key(depth - 1), any(depth - 1));
        }
        switch (roll(3)) {
        case 0:
            return value::of(std::move(items));
        case 1:
            return value::of(value::tuple{std::move(items)});
        default:
            return value::of(std::move(pairs));
        }
    }

  private:
    value key(std::size_t depth) {
        return depth == 0 || roll(4) != 0 ? leaf() : value::of(value::tuple{{leaf(), key(depth - 1)}});
    }
    value leaf() {
        switch (roll(7)) {
        case 0:
            return {};
        case 1:
            return roll(2) == 0;
        case 2:
            return value::of(static_cast<std::int64_t>(engine_() >> roll(64)));
        case 3:
            return static_cast<double>(static_cast<std::int64_t>(engine_())) / 1024;
        case 4:
            return bytes(std::string(size(), static_cast<char>(roll(256))));
        default:
            return letters();
        }
    }
    std::size_t size() { return roll(50) == 0 ? roll(100'000) : roll(300); }
    value letters() {
        constexpr const char* alphabet[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
        std::string made;
        const std::size_t widest = roll(4) + 1;
        for (std::size_t left = roll(80); left > 0; --left) {
            made += alphabet[roll(widest)];
        }
        return made;
    }

    std::mt19937_64 engine_;
};

TEST_F(codec, values_by_chance_come_back_as_they_were) {
    chance dice(core::test::test_seed());
    for (int i = 0; i < 100; ++i) {
        expect_round_trip(dice.any(6));
    }
}

TEST_F(codec, what_is_cut_short_stays_an_object) {
    chance dice(core::test::test_seed());
    for (int i = 0; i < 30; ++i) {
        const std::string whole = data_of(encode(std::pair(dice.any(2), 1)));
        const std::size_t step = 1 + whole.size() / 200;
        for (std::size_t size = 0; size < whole.size(); size += step) {
            expect_object(parcel_maker().raw(whole.substr(0, size)).done());
        }
        expect_object(parcel_maker().raw(whole + '\0').done());
    }
}

TEST_F(codec, what_is_garbled_is_read_within_its_bounds) {
    chance dice(core::test::test_seed());
    for (int i = 0; i < 3'000; ++i) {
        std::string data = data_of(encode(std::pair(dice.any(3), 1)));
        for (std::size_t flips = 1 + dice.roll(4); flips > 0; --flips) {
            data[dice.roll(data.size())] = static_cast<char>(dice.roll(dice.roll(2) == 0 ? 256 : 40));
        }
        const value made = decode(parcel_maker().raw(data).done());
        static_cast<void>(decode(encode(value(made))));
    }
}

// ---- what Python writes besides

} // namespace
} // namespace isthmus::test

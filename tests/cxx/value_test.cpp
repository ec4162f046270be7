/// Values: what they hold, conversions both ways with their limits and refusals, and depth.

#include <isthmus/value.hpp>

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <stdexcept>

namespace isthmus::test {

struct celsius {
    double degrees = 0;
    bool operator==(const celsius&) const = default;
};

} // namespace isthmus::test

template <> struct isthmus::conversion<isthmus::test::celsius> {
    static value to(const test::celsius& v) { return value(std::tuple("celsius", v.degrees)); }
    static test::celsius from(const value& v) {
        const auto [unit, degrees] = v.as<std::tuple<std::string, double>>();
        if (unit != "celsius") {
            throw type_error("another unit");
        }
        return {degrees};
    }
};

namespace isthmus::test {
namespace {

template <typename T> void expect_there_and_back(const T& v) {
    EXPECT_EQ(value(v).as<T>(), v);
}

template <typename T> void expect_limits() {
    using limits = std::numeric_limits<T>;
    expect_there_and_back(limits::min());
    expect_there_and_back(limits::max());
    if constexpr (sizeof(T) < sizeof(std::int64_t)) {
        const std::int64_t above = std::int64_t{limits::max()} + 1;
        const std::int64_t below = std::int64_t{limits::min()} - 1;
        EXPECT_THROW(static_cast<void>(value(above).as<T>()), type_error);
        EXPECT_THROW(static_cast<void>(value(below).as<T>()), type_error);
    }
}

std::string refusal_of(const value& v, auto ask) {
    try {
        static_cast<void>(ask(v));
    } catch (const type_error& refused) {
        return refused.what();
    }
    return "nothing was refused";
}

value nested(std::size_t depth) {
    value made = 7;
    for (std::size_t i = 0; i < depth; ++i) {
        if (i % 3 == 0) {
            value::list items;
            items.push_back("beside");
            items.push_back(std::move(made));
            made = value::of(std::move(items));
        } else if (i % 3 == 1) {
            value::dict pairs;
            pairs.emplace_back("key", std::move(made));
            pairs.emplace_back("other", i);
            made = value::of(std::move(pairs));
        } else {
            value::tuple items;
            items.items.push_back(std::move(made));
            made = value::of(std::move(items));
        }
    }
    return made;
}

TEST(value, integers_of_every_width_keep_their_limits) {
    expect_limits<std::int8_t>();
    expect_limits<std::uint8_t>();
    expect_limits<std::int16_t>();
    expect_limits<std::uint16_t>();
    expect_limits<std::int32_t>();
    expect_limits<std::uint32_t>();
    expect_limits<std::int64_t>();
    expect_limits<signed char>();
    expect_limits<long long>();
}

TEST(value, an_integer_that_does_not_fit_64_bits_is_refused) {
    EXPECT_EQ(value(std::uint64_t{1} << 62).as<std::uint64_t>(), std::uint64_t{1} << 62);
    EXPECT_THROW(value(std::uint64_t{1} << 63), type_error);
    EXPECT_THROW(static_cast<void>(value(-1).as<std::uint64_t>()), type_error);
}

TEST(value, bool_int_and_float_mix_as_in_python) {
    EXPECT_EQ(value(true).as<int>(), 1);
    EXPECT_EQ(value(3).as<double>(), 3.0);
    EXPECT_EQ(value(0.5F).as<float>(), 0.5F);
    EXPECT_THROW(static_cast<void>(value(1).as<bool>()), type_error);
    EXPECT_THROW(static_cast<void>(value(1.0).as<int>()), type_error);
    EXPECT_THROW(static_cast<void>(value(true).as<double>()), type_error);
    EXPECT_TRUE(std::isnan(value(std::nan("")).as<double>()));
}

TEST(value, spans_of_anything_else_are_lists) {
    const std::vector<int> numbers{1, 2, 3};
    EXPECT_EQ(value(std::span(numbers)), value(numbers));
    std::string names[] = {"a", "b"};
    EXPECT_EQ(value(std::span(names)), value(std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(value(std::span(numbers).first<2>()).as<std::vector<int>>(), (std::vector{1, 2}));
}

TEST(value, strings_are_text_and_bytes_are_bytes) {
    expect_there_and_back(std::string("caf\xc3\xa9"));
    EXPECT_TRUE(value("abc").holds<text>());
    EXPECT_TRUE(value(std::string_view("abc")).holds<text>());
    EXPECT_EQ(value("abc").as<std::string>(), "abc");
    const bytes raw("\x00\xff"
                    "abc");
    EXPECT_EQ(value(raw).as<bytes>(), raw);
    EXPECT_EQ(value(raw.span()).as<bytes>(), raw);
    std::vector<std::byte> writable(raw.span().begin(), raw.span().end());
    EXPECT_EQ(value(std::span(writable)).as<bytes>(), raw);
    EXPECT_THROW(static_cast<void>(value(raw).as<std::string>()), type_error);
    EXPECT_THROW(static_cast<void>(value("abc").as<bytes>()), type_error);
    EXPECT_THROW(value("\xff"), std::invalid_argument);
}

TEST(value, containers_go_both_ways) {
    expect_there_and_back(std::vector<int>{1, 2, 3});
    expect_there_and_back(std::vector<bool>{true, false});
    expect_there_and_back(std::vector<std::vector<std::string>>{{"a"}, {}, {"b", "c"}});
    expect_there_and_back(std::tuple(1, std::string("two"), 3.0));
    expect_there_and_back(std::pair(std::string("a"), 1));
    expect_there_and_back(std::map<std::string, int>{{"a", 1}, {"b", 2}});
    expect_there_and_back(std::unordered_map<int, double>{{1, 0.5}, {2, 1.5}});
    expect_there_and_back(std::optional<int>{});
    expect_there_and_back(std::optional<int>{4});
    expect_there_and_back(celsius{36.6});
    EXPECT_EQ(value(std::tuple(1, 2)).as<std::vector<int>>(), (std::vector{1, 2}));
    const value::dict pairs = {{1, "one"}};
    EXPECT_TRUE(value(pairs).holds<value::dict>());
    EXPECT_EQ(value(pairs).as<value::dict>(), pairs);
}

TEST(value, containers_of_something_else_are_refused) {
    EXPECT_THROW(static_cast<void>(value(std::vector{1}).as<std::vector<std::string>>()), type_error);
    EXPECT_THROW(static_cast<void>(value(std::vector{1}).as<std::pair<int, int>>()), type_error);
    EXPECT_THROW(static_cast<void>(value(std::vector{1, 2, 3}).as<std::tuple<int, int>>()), type_error);
    EXPECT_THROW((static_cast<void>(value(std::vector{1}).as<std::map<int, int>>())), type_error);
    EXPECT_THROW(static_cast<void>(value("no list").as<std::vector<int>>()), type_error);
    EXPECT_THROW(static_cast<void>(value(std::tuple("kelvin", 1.0)).as<celsius>()), type_error);
    EXPECT_THROW(static_cast<void>(value(1).size()), type_error);
    EXPECT_THROW(static_cast<void>(value(1)[0]), type_error);
    EXPECT_THROW(static_cast<void>(value(std::vector{1})["key"]), type_error);
}

TEST(value, refusals_name_both_types) {
    EXPECT_EQ(refusal_of(std::vector{1}, [](const value& v) { return v.as<int>(); }),
              "int expected, not list");
    EXPECT_EQ(refusal_of(value(), [](const value& v) { return v.as<std::string>(); }),
              "str expected, not NoneType");
    EXPECT_EQ(refusal_of(std::map<int, int>{}, [](const value& v) { return v.as<std::vector<int>>(); }),
              "list or tuple expected, not dict");
    EXPECT_EQ(refusal_of(std::vector{1, 2}, [](const value& v) { return v.as<std::tuple<int>>(); }),
              "1 items expected, not 2");
}

TEST(value, parts_are_found_by_index_and_key) {
    const value v = std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"\xc3\xa9", {3}}};
    EXPECT_EQ(v["a"][1].as<int>(), 2);
    EXPECT_EQ(v["\xc3\xa9"].size(), 1U);
    EXPECT_THROW(static_cast<void>(v["b"]), std::out_of_range);
    EXPECT_THROW(static_cast<void>(v["a"][2]), std::out_of_range);
}

TEST(value, equality_is_of_type_and_contents) {
    EXPECT_EQ(value(std::vector{1, 2}), value(std::vector{1, 2}));
    EXPECT_NE(value(std::vector{1, 2}), value(std::tuple(1, 2)));
    EXPECT_NE(value(std::vector{1, 2}), value(std::vector{1}));
    EXPECT_NE(value(1), value(true));
    EXPECT_NE(value(1), value(1.0));
    EXPECT_NE(value(std::map<int, int>{{1, 2}}), value(std::map<int, int>{{1, 3}}));
    EXPECT_EQ(value(), value(std::nullopt));
}

TEST(value, a_part_may_replace_the_whole) {
    value v = std::vector<std::string>{"first", "second"};
    v = std::move((*v.get_if<value::list>())[1]);
    EXPECT_EQ(v.as<std::string>(), "second");
    value w = std::vector<std::vector<int>>{{1}, {2, 3}};
    w = w[1];
    EXPECT_EQ(w, value(std::vector{2, 3}));
    value& same = w;
    w = same;
    w = std::move(same);
    EXPECT_EQ(w, value(std::vector{2, 3}));
}

TEST(value, a_million_levels_are_copied_compared_and_destroyed) {
    const value deep = nested(1'000'000);
    const value copy = deep;
    EXPECT_TRUE(copy == deep);
    EXPECT_FALSE(copy == nested(1'000));
}

/// Every part is destroyed, and once: counted by who refers to the same handle.
TEST(value, what_is_in_deep_values_is_let_go_of) {
    const auto counted = std::make_shared<const char>('x');
    const auto handle = std::shared_ptr<const detail::handle>(counted, nullptr);
    const long before = counted.use_count();
    {
        value made = value::of(handle);
        for (int i = 0; i < 200; ++i) {
            value::dict pairs;
            pairs.emplace_back(std::tuple(i, value::of(handle)), std::vector{value::of(handle)});
            pairs.emplace_back(made, value::of(handle));
            pairs.emplace_back(value::of(handle), std::move(made));
            made = i % 10 == 0 ? value(1) : value::of(std::move(pairs));
            made = value::of(
                value::list{value::of(value::tuple{{std::move(made), value::of(handle)}}), value()});
        }
        EXPECT_GT(counted.use_count(), before);
    }
    EXPECT_EQ(counted.use_count(), before);
}

} // namespace
} // namespace isthmus::test

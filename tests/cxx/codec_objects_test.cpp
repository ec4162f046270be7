/// Values as messages: references, what only Python knows, ends, and what is refused.
#include "codec_fixture.hpp"

namespace isthmus::test {
namespace {

TEST_F(codec, names_and_references_are_understood) {
    const value v = decode(parcel_maker()
                               .put(tag::list)
                               .count(5)
                               .put(tag::name, true)
                               .number(std::uint8_t{1})
                               .count(3)
                               .raw("abc")
                               .put(tag::again)
                               .count(0)
                               .put(tag::tuple, true)
                               .count(1)
                               .put(tag::list, true)
                               .count(1)
                               .put(tag::yes)
                               .put(tag::again)
                               .count(1)
                               .put(tag::again)
                               .count(2)
                               .done());
    // 0: the name; 1: the list inside the tuple, numbered before it is filled; 2: the tuple, once it is whole
    EXPECT_EQ(v, value(std::tuple("abc", "abc", std::tuple(std::vector{true}), std::vector{true},
                                  std::tuple(std::vector{true})))
                     .as<std::vector<value>>());
}

TEST_F(codec, a_dict_met_again_becomes_a_copy) {
    value v = decode(parcel_maker()
                         .put(tag::tuple)
                         .count(2)
                         .put(tag::dict, true)
                         .count(1)
                         .ascii("k", true)
                         .put(tag::int8)
                         .number(std::int8_t{5})
                         .put(tag::again)
                         .count(0)
                         .done());
    ASSERT_EQ(v[0]["k"].as<int>(), 5);
    v.get_if<value::tuple>()->items[0] = 1;
    EXPECT_EQ(v[1]["k"].as<int>(), 5);
}

TEST_F(codec, what_only_python_knows_stays_whole) {
    expect_object(parcel_maker().put(tag::list).count(2).put(tag::yes).put(tag::ellipsis).done());
    expect_object(parcel_maker().put(tag::bytearray).count(1).raw("x").done());
    expect_object(parcel_maker().put(tag::big).count(9).raw("123456789").done());
    expect_object(parcel_maker().put(tag::set).count(1).put(tag::yes).done());
    expect_object(parcel_maker().put(tag::global).ascii("builtins").ascii("int").done());
    expect_object(parcel_maker().put(tag::complex).number(1.0).number(2.0).done());
    expect_object(parcel_maker().put(tag::known_tuple).count(0).count(0).done());
    expect_object(parcel_maker().put(tag{0x7f}).done());
    expect_object(parcel_maker().done());
}

TEST_F(codec, a_value_inside_itself_stays_an_object) {
    expect_object(parcel_maker().put(tag::list, true).count(1).put(tag::again).count(0).done());
    expect_object(parcel_maker()
                      .put(tag::tuple, true)
                      .count(1)
                      .put(tag::dict, true)
                      .count(1)
                      .put(tag::yes)
                      .put(tag::again)
                      .count(0)
                      .done());
    expect_object(parcel_maker().put(tag::again).count(0).done());
}

TEST_F(codec, references_that_would_fill_the_memory_stay_an_object) {
    const auto doubled = [](int times) {
        parcel_maker made;
        made.put(tag::list).count(static_cast<std::uint8_t>(times));
        made.put(tag::list, true).count(1).put(tag::yes);
        for (int i = 1; i < times; ++i) {
            made.put(tag::list, true).count(2);
            made.put(tag::again).count(static_cast<std::uint8_t>(i - 1));
            made.put(tag::again).count(static_cast<std::uint8_t>(i - 1));
        }
        return made.done();
    };
    EXPECT_FALSE(decode(doubled(10)).is_object());
    expect_object(doubled(60));
}

TEST_F(codec, texts_that_cpython_never_writes_stay_objects) {
    const auto text_of = [](std::uint8_t width, std::string_view data) {
        return parcel_maker().put(tag::text).number(width).count(1).raw(data).done();
    };
    using namespace std::string_view_literals;
    EXPECT_EQ(decode(text_of(4, "\x00\xf6\x01\x00"sv)).as<std::string>(), "\xf0\x9f\x98\x80");
    EXPECT_EQ(decode(text_of(2, "\xac\x20"sv)).as<std::string>(), "\xe2\x82\xac");
    EXPECT_EQ(decode(text_of(1, "\xe9"sv)).as<std::string>(), "\xc3\xa9");
    expect_object(text_of(4, "\x00\x00\x11\x00"sv));
    expect_object(text_of(4, "a\x00\x00\x00"sv));
    expect_object(text_of(2, "a\x00"sv));
    expect_object(text_of(3, "abc"sv));
}

TEST_F(codec, messages_of_no_sense_stay_objects) {
    const std::byte some[] = {std::byte{1}, std::byte{2}};
    expect_object({static_cast<std::uint8_t>(kind::integer), some});
    expect_object({static_cast<std::uint8_t>(kind::real), some});
    expect_object({static_cast<std::uint8_t>(kind::truth), some});
    expect_object({static_cast<std::uint8_t>(kind::twin), some});
    expect_object({200, some});
    expect_object(parcel_maker().put(tag::dict).count(1).put(tag::list).count(0).put(tag::yes).done());
    expect_object(parcel_maker().put(tag::twin).done());
    expect_object(parcel_maker().put(tag::attachment).done());
}

TEST_F(codec, an_object_keeps_its_shares_and_can_be_sent_often) {
    const bytes large(std::string(200'000, 'x'));
    message m = encode(std::vector{large, large});
    ASSERT_NE(m.body(), nullptr);
    m.body()->data.data()[0] = static_cast<std::byte>(tag::set);
    const std::string data = data_of(m);
    const value kept = decode(std::move(m));
    ASSERT_TRUE(kept.is_object());
    for (int i = 0; i < 3; ++i) {
        message again = encode(kept);
        ASSERT_EQ(data_of(again), data);
        again.body()->data.data()[0] = static_cast<std::byte>(tag::list);
        EXPECT_EQ(decode(std::move(again)), value(std::vector{large, large}));
    }
}

/// Something that there is only one of.
struct only_one final : core::attachment {};

TEST_F(codec, what_can_be_given_away_once_is_sent_once) {
    const value kept = decode(parcel_maker().attach(std::make_unique<only_one>()).done());
    ASSERT_TRUE(kept.is_object());
    {
        const detail::outgoing not_sent(kept);
        EXPECT_THROW(static_cast<void>(encode(kept)), not_shareable_error);
    }
    const message sent = encode(kept);
    EXPECT_EQ(sent.body()->attachments.size(), 1U);
    EXPECT_THROW(static_cast<void>(encode(kept)), not_shareable_error);
}

// ---- what can't cross

std::string why_not(const value& v) {
    try {
        static_cast<void>(encode(v));
    } catch (const not_shareable_error& refused) {
        return refused.what();
    }
    return "it was encoded";
}

TEST_F(codec, an_object_inside_is_refused_by_its_path) {
    const value object = decode(parcel_maker().put(tag::ellipsis).done());
    const std::string why = "an object that Python alone knows can only be sent by itself";
    EXPECT_EQ(why_not(std::tuple(1, 2, std::map<std::string, value>{{"a", 1}, {"key", object}})),
              "[2]['key']: " + why);
    EXPECT_EQ(why_not(std::map<int, std::vector<value>>{{7, {object}}}), "[7][0]: " + why);
    EXPECT_EQ(why_not(std::vector{value::of(value::dict{{object, 1}})}), "[0].keys()[0]: " + why);
    EXPECT_EQ(why_not(std::vector{value::of(value::dict{{std::tuple(1), object}})}), "[0][<tuple>]: " + why);
    value deep = object;
    for (int i = 0; i < 5'000; ++i) {
        value::list items;
        items.push_back(std::move(deep));
        deep = value::of(std::move(items));
    }
    EXPECT_LT(why_not(deep).size(), 300U);
}

TEST_F(codec, keys_that_no_dict_can_have_are_refused) {
    EXPECT_EQ(why_not(value::of(value::dict{{std::vector{1}, 1}})),
              ".keys()[0]: a list can't be in the key of a dict");
    EXPECT_EQ(why_not(value::of(value::dict{{std::tuple(std::map<int, int>{}), 1}})),
              ".keys()[0][0]: a dict can't be in the key of a dict");
    EXPECT_EQ(why_not(value::of(value::handle{})), "a handle that holds nothing");
    EXPECT_NE(why_not(value::of(value::object{})), "it was encoded");
}

// ---- depth

TEST_F(codec, a_value_of_a_million_levels_is_sent) {
    const value deep = levels(1'000'000);
    message m = encode(deep);
    EXPECT_EQ(m.body()->data.size(), 2'000'001U);
    EXPECT_TRUE(decode(std::move(m)).is_object());
}

TEST_F(codec, a_thousand_levels_are_looked_into) {
    expect_round_trip(levels(1'000));
    EXPECT_TRUE(decode(encode(levels(1'001))).is_object());
}

TEST_F(codec, references_do_not_lead_deeper) {
    parcel_maker made;
    made.put(tag::list).count(2).put(tag::list, true).count(1);
    for (int i = 0; i < 600; ++i) {
        made.put(tag::list).count(1);
    }
    made.put(tag::yes);
    for (int i = 0; i < 600; ++i) {
        made.put(tag::list).count(1);
    }
    made.put(tag::again).count(0);
    expect_object(made.done());
}

// ---- handles

TEST_F(codec, ends_travel_inside_values) {
    const auto [receiver, sender] = create_channel(3);
    const queue items;
    const value v =
        std::tuple(receiver, std::vector{value(sender)}, std::map<std::string, value>{{"q", items}});
    EXPECT_EQ(v[0].type_name(), "RecvChannel");
    EXPECT_EQ(v[1][0].type_name(), "SendChannel");
    EXPECT_EQ(v[2]["q"].type_name(), "Queue");
    const value back = decode(encode(v));
    EXPECT_EQ(back, v) << "the same ends, though other objects";
    EXPECT_EQ(back[0].as<recv_channel>(), receiver);
    EXPECT_EQ(back[2]["q"].as<queue>(), items);
    EXPECT_THROW(static_cast<void>(back[0].as<send_channel>()), type_error);
    EXPECT_THROW(static_cast<void>(back[0].as<queue>()), type_error);
    EXPECT_NE(value(receiver), value(sender));
}

TEST_F(codec, ends_in_an_object_are_given_away_as_often_as_it_is_sent) {
    const auto [receiver, sender] = create_channel(3);
    message m = encode(std::vector{value(sender)});
    m.body()->data.data()[0] = static_cast<std::byte>(tag::set);
    const value kept = decode(std::move(m));
    ASSERT_TRUE(kept.is_object());
    for (int i = 0; i < 2; ++i) {
        message again = encode(kept);
        again.body()->data.data()[0] = static_cast<std::byte>(tag::list);
        EXPECT_EQ(decode(std::move(again))[0].as<send_channel>(), sender);
    }
}

} // namespace
} // namespace isthmus::test

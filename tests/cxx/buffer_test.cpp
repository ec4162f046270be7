/// Buffers without Python: what they say of their memory, what they refuse, when they let go of it.
#include "balance.hpp"

#include "core/view.hpp"
#include "core/wire.hpp"
#include "cxx/codec.hpp"

#include <isthmus/buffer.hpp>
#include <isthmus/channel.hpp>

#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pixels {
struct rgb {
    unsigned char r, g, b;
    bool operator==(const rgb&) const = default;
};
} // namespace pixels
template <> inline constexpr const char* isthmus::buffer_format<pixels::rgb> = "BBB";

namespace isthmus::test {
namespace {

class buffers : public balanced {
  protected:
    /// Memory that says when nobody needs it any more.
    template <typename T> std::shared_ptr<std::vector<T>> memory_of(std::size_t count) {
        return {new std::vector<T>(count), [this](std::vector<T>* made) {
                    ended = true;
                    delete made;
                }};
    }
    static std::vector<std::ptrdiff_t> listed(std::span<const std::ptrdiff_t> numbers) {
        return {numbers.begin(), numbers.end()};
    }

    std::atomic<bool> ended = false;
};

using numbers = std::vector<std::ptrdiff_t>;

TEST_F(buffers, one_row_of_items) {
    auto memory = memory_of<std::int32_t>(5);
    std::iota(memory->begin(), memory->end(), 1);
    const buffer b(*memory, memory);
    EXPECT_EQ(b.data(), reinterpret_cast<const std::byte*>(memory->data()));
    EXPECT_EQ(b.size(), 20U);
    EXPECT_EQ(b.item_size(), 4U);
    EXPECT_EQ(b.format(), "i");
    EXPECT_EQ(listed(b.shape()), numbers{5});
    EXPECT_EQ(listed(b.strides()), numbers{4});
    EXPECT_FALSE(b.read_only());
    EXPECT_TRUE(b.contiguous());
    b.items<std::int32_t>()[4] = 50;
    EXPECT_EQ(memory->back(), 50);
    EXPECT_EQ(b.items<const std::int32_t>().size(), 5U);
    EXPECT_EQ(b.span().size(), 20U);
}

TEST_F(buffers, the_memory_ends_with_the_last_of_all_copies) {
    auto memory = memory_of<char>(10);
    std::optional<buffer> first(std::in_place, *memory, memory);
    memory.reset();
    std::optional<buffer> second = first;
    value travelling(*second);
    first.reset();
    second.reset();
    EXPECT_FALSE(ended);
    core::message m = detail::encode(travelling);
    travelling = value();
    EXPECT_FALSE(ended);
    m.reset();
    EXPECT_TRUE(ended);
}

TEST_F(buffers, between_threads_the_memory_is_the_same) {
    auto [receiver, sender] = create_channel(1);
    auto memory = memory_of<double>(1000);
    {
        const buffer b(*memory, memory);
        std::thread other([&r = receiver] {
            const auto got = r.recv<std::vector<buffer>>();
            ASSERT_EQ(got.size(), 2U);
            EXPECT_TRUE(got[0].same_memory(got[1]));
            got[1].items<double>()[7] = 0.5;
        });
        sender.send(std::vector{b, b});
        other.join();
        EXPECT_EQ((*memory)[7], 0.5);
        sender.send(b);
    }
    memory.reset();
    EXPECT_FALSE(ended) << "it is on its way";
    sender.close();
    receiver.close();
    EXPECT_TRUE(ended);
}

TEST_F(buffers, constant_items_are_read_only) {
    const auto memory = memory_of<float>(3);
    const buffer b(std::as_const(*memory), memory);
    EXPECT_TRUE(b.read_only());
    EXPECT_EQ(b.items<const float>().size(), 3U);
    EXPECT_THROW(static_cast<void>(b.items<float>()), type_error);
    EXPECT_THROW(static_cast<void>(b.items<std::byte>()), type_error);
}

TEST_F(buffers, may_own_their_items) {
    std::vector<std::uint16_t> made{1, 2, 3};
    const auto* const at = reinterpret_cast<const std::byte*>(made.data());
    std::optional<buffer> b(std::in_place, std::move(made));
    EXPECT_EQ(b->data(), at);
    const value kept(*b);
    b.reset();
    EXPECT_EQ(kept.as<buffer>().items<std::uint16_t>()[2], 3);
    static_assert(!std::constructible_from<buffer, std::vector<int>, std::shared_ptr<void>>,
                  "it would be gone");
    static_assert(!std::constructible_from<buffer, std::vector<std::string>>);
}

TEST_F(buffers, bytes_are_shown_without_a_copy) {
    std::string large(300'000, 'x');
    large[0] = 'y';
    const bytes from(large);
    const buffer b(from);
    EXPECT_EQ(b.data(), from.data());
    EXPECT_TRUE(b.read_only());
    EXPECT_EQ(b.format(), "B");
    EXPECT_TRUE(b.same_memory(buffer(bytes(from))));
    EXPECT_FALSE(b.same_memory(buffer(bytes(large))));
    EXPECT_EQ(bytes(b.span()), from);
    const buffer nothing{bytes()};
    EXPECT_EQ(nothing.size(), 0U);
    EXPECT_TRUE(nothing.span().empty());
    EXPECT_FALSE(nothing.same_memory(nothing)) << "nothing is no byte of memory";
}

TEST_F(buffers, several_dimensions) {
    const auto memory = memory_of<std::int16_t>(24);
    const buffer cube(*memory, {.shape = {2, 3, 4}}, memory);
    EXPECT_EQ(listed(cube.strides()), (numbers{24, 8, 2}));
    EXPECT_TRUE(cube.contiguous());
    EXPECT_EQ(cube.items<const std::int16_t>().size(), 24U);
    const buffer part(*memory, {.shape = {2, 2}, .strides = {24, 8}}, memory);
    EXPECT_EQ(part.size(), 8U);
    EXPECT_FALSE(part.contiguous());
    EXPECT_THROW(static_cast<void>(part.span()), type_error);
    const buffer columns(*memory, {.shape = {4, 6}, .strides = {2, 8}}, memory);
    EXPECT_FALSE(columns.contiguous());
    const buffer one(*memory, {.shape = {}}, memory);
    EXPECT_EQ(one.size(), 2U);
    EXPECT_TRUE(one.shape().empty());
    EXPECT_EQ(one.items<const std::int16_t>().size(), 1U);
    const buffer thin(*memory, {.shape = {1, 6}, .strides = {9999, 2}}, memory);
    EXPECT_TRUE(thin.contiguous()) << "a stride of one item is no matter";
    const buffer none(*memory, {.shape = {5, 0, 7}, .strides = {5000, 2, 2}}, memory);
    EXPECT_TRUE(none.contiguous());
    EXPECT_EQ(none.size(), 0U);
}

TEST_F(buffers, what_reaches_beyond_the_memory_is_refused) {
    const auto memory = memory_of<std::int16_t>(24);
    const auto refused = [&](buffer::geometry lies) -> std::string {
        try {
            static_cast<void>(buffer(*memory, std::move(lies), memory));
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(refused({.shape = {2, 3, 4}}), "accepted");
    EXPECT_EQ(refused({.shape = {25}}), "buffer: its shape reaches beyond 48 bytes");
    EXPECT_EQ(refused({.shape = {2, 2}, .strides = {46, 2}}), "buffer: its shape reaches beyond 48 bytes");
    EXPECT_EQ(refused({.shape = {2, 2}, .strides = {44, 2}}), "accepted");
    EXPECT_EQ(refused({.shape = {-1}}), "buffer: a negative extent");
    EXPECT_EQ(refused({.shape = {2}, .strides = {-2}}), "buffer: a negative stride");
    EXPECT_EQ(refused({.shape = {2, 2}, .strides = {2}}), "buffer: 2 dimensions and 1 strides");
    EXPECT_EQ(refused({.shape = {1L << 62, 1L << 62}}),
              "buffer: the shape has more items than there is memory");
    EXPECT_EQ(refused({.shape = {2, 2}, .strides = {(1L << 62) + 2, 1L << 62}}),
              "buffer: its shape reaches beyond 48 bytes");
    EXPECT_EQ(refused({.shape = numbers(65, 1)}), "buffer: more than 64 dimensions");
    EXPECT_THROW(buffer(std::span<char>(), {.shape = {}}, nullptr), std::invalid_argument);
}

TEST_F(buffers, items_are_of_one_type) {
    const auto memory = memory_of<long>(4);
    const buffer b(*memory, memory);
    EXPECT_EQ(b.items<const long>().size(), 4U);
    EXPECT_EQ(b.items<const long long>().size(), 4U) << "another name of the same";
    EXPECT_THROW(static_cast<void>(b.items<const unsigned long>()), type_error);
    EXPECT_THROW(static_cast<void>(b.items<const int>()), type_error);
    EXPECT_THROW(static_cast<void>(b.items<const double>()), type_error);
    EXPECT_THROW(static_cast<void>(b.items<const char>()), type_error);
    EXPECT_EQ(b.items<const std::byte>().size(), 32U);
    const auto text = memory_of<char>(9);
    const buffer shifted(std::span{*text}.subspan(1), text);
    EXPECT_EQ(shifted.items<const unsigned char>().size(), 8U);
    EXPECT_THROW(static_cast<void>(shifted.items<const bool>()), type_error);
}

TEST_F(buffers, what_lies_askew_has_no_items) {
    const auto memory = memory_of<std::byte>(64);
    core::buffer_layout askew;
    askew.data = memory->data() + 1;
    askew.length = 16;
    askew.item_size = 8;
    askew.dimensions = 1;
    askew.extents = {2, 8};
    askew.format = "<d";
    auto body = std::make_unique<core::parcel>();
    *body->data.extend(1) = static_cast<std::byte>(core::wire::tag::attachment);
    const buffer lender(*memory, memory);
    core::message lent = detail::encode(lender);
    auto& shown = dynamic_cast<core::travelling_view&>(*lent.body()->attachments.front());
    body->attachments.push_back(std::make_unique<core::travelling_view>(core::view{askew, shown.what.of}));
    const auto b =
        detail::decode({static_cast<std::uint8_t>(core::wire::kind::parcel), std::move(body)}).as<buffer>();
    EXPECT_EQ(b.format(), "<d");
    EXPECT_EQ(b.span().size(), 16U);
    EXPECT_THROW(static_cast<void>(b.items<const double>()), type_error);
}

TEST_F(buffers, records_have_a_format_of_their_own) {
    const auto memory = memory_of<pixels::rgb>(6);
    const buffer image(*memory, {.shape = {2, 3}}, memory);
    EXPECT_EQ(image.format(), "BBB");
    EXPECT_EQ(image.item_size(), 3U);
    image.items<pixels::rgb>()[5] = {1, 2, 3};
    EXPECT_EQ(memory->back(), (pixels::rgb{1, 2, 3}));
    EXPECT_THROW(static_cast<void>(image.items<const char>()), type_error);
}

TEST_F(buffers, in_values) {
    const auto memory = memory_of<char>(8);
    const buffer b(*memory, memory);
    const buffer half(std::span{*memory}.first(4), memory);
    EXPECT_EQ(value(b), value(b));
    EXPECT_NE(value(b), value(half));
    EXPECT_NE(value(b), value(buffer(*memory, memory))) << "another loan";
    EXPECT_EQ(value(b).type_name(), "memoryview");
    EXPECT_FALSE(value(b).is_object());
    EXPECT_THROW(static_cast<void>(value(b).as<bytes>()), type_error);
    EXPECT_THROW(static_cast<void>(value(3).as<buffer>()), type_error);
    EXPECT_THROW(static_cast<void>(value(create_channel().first).as<buffer>()), type_error);
    const value copy = detail::decode(detail::encode(std::map<std::string, buffer>{{"here", b}}));
    EXPECT_EQ(copy["here"], value(b));
}

TEST_F(buffers, with_suboffsets_stay_objects_and_can_be_sent_again) {
    const auto memory = memory_of<char>(8);
    const buffer b(*memory, memory);
    core::message m = detail::encode(b);
    dynamic_cast<core::travelling_view&>(*m.body()->attachments.front()).what.layout.indirect = true;
    const value kept = detail::decode(std::move(m));
    EXPECT_TRUE(kept.is_object());
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(detail::encode(kept).body()->attachments.size(), 1U);
    }
}

} // namespace
} // namespace isthmus::test

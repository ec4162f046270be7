/// Shared buffers without Python.
#include "balance.hpp"

#include "core/parking_lot.hpp"
#include "core/shared_memory.hpp"
#include "core/wire.hpp"
#include "cxx/codec.hpp"

#include <isthmus/shared_buffer.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace isthmus::test {
namespace {

using namespace std::chrono_literals;

class shared_buffers : public balanced {};

TEST_F(shared_buffers, are_zero_and_the_same_for_all) {
    const shared_buffer made(100'000);
    EXPECT_EQ(made.size(), 100'000U);
    EXPECT_TRUE(std::ranges::all_of(made.span(), [](std::byte b) { return b == std::byte{0}; }));
    const shared_buffer copy = made;
    const auto arrived = detail::decode(detail::encode(std::vector{made}))[0].as<shared_buffer>();
    made.items<int>()[24'999] = 5;
    EXPECT_EQ(copy.items<int>().back(), 5);
    EXPECT_EQ(arrived.data(), made.data());
    EXPECT_EQ(arrived, made);
    EXPECT_EQ(value(arrived), value(made));
    EXPECT_NE(shared_buffer(100'000), made);
    EXPECT_EQ(value(made).type_name(), "SharedBuffer");
    EXPECT_THROW(static_cast<void>(value("text").as<shared_buffer>()), type_error);
}

TEST_F(shared_buffers, of_nothing_and_of_too_much) {
    const shared_buffer nothing(0);
    EXPECT_TRUE(nothing.span().empty());
    EXPECT_TRUE(nothing.items<long>().empty());
    EXPECT_THROW(nothing.notify<int>(0), std::out_of_range);
    EXPECT_THROW(shared_buffer(SIZE_MAX / 4), std::bad_alloc);
    EXPECT_THROW(shared_buffer(SIZE_MAX), std::bad_alloc);
}

TEST_F(shared_buffers, outlive_those_who_made_them) {
    std::optional<value> kept;
    {
        const shared_buffer made(4096);
        made.items<int>()[1] = 7;
        kept.emplace(made);
    }
    EXPECT_EQ(kept->as<shared_buffer>().items<int>()[1], 7);
}

TEST_F(shared_buffers, whoever_waits_is_notified) {
    const shared_buffer of(64);
    const auto words = of.items<std::int64_t>();
    std::atomic<int> woken = 0;
    std::vector<std::thread> waiting;
    for (int i = 0; i < 3; ++i) {
        waiting.emplace_back([&] {
            while (std::atomic_ref(words[7]).load() == 0) {
                ASSERT_TRUE(of.wait<std::int64_t>(7, 0));
            }
            ++woken;
        });
    }
    while (core::parking_lot::parked_at(&words[7]) != 3) {
        std::this_thread::yield();
    }
    EXPECT_EQ(of.notify<std::int64_t>(6), 0U) << "another item";
    EXPECT_EQ(woken.load(), 0);
    std::atomic_ref(words[7]).store(1);
    EXPECT_EQ(of.notify<std::int64_t>(7, 1), 1U);
    while (woken.load() != 1) {
        std::this_thread::yield();
    }
    EXPECT_EQ(of.notify<std::int64_t>(7), 2U);
    for (std::thread& each : waiting) {
        each.join();
    }
}

TEST_F(shared_buffers, waits_end_by_time_or_at_once) {
    const shared_buffer of(8);
    EXPECT_FALSE(of.wait<int>(1, 0, 1ms));
    EXPECT_FALSE(of.wait<int>(1, 0, 0ms));
    EXPECT_TRUE(of.wait<int>(1, 5));
    of.items<int>()[0] = -1;
    EXPECT_FALSE(of.wait<int>(0, -1, 0ms)) << "a negative number is compared in its own width";
    EXPECT_THROW(of.wait<int>(2, 0), std::out_of_range);
    EXPECT_THROW(of.wait<std::uint64_t>(1, 0), std::out_of_range);
}

TEST_F(shared_buffers, an_atomic_view_stays_an_object) {
    auto body = std::make_unique<core::parcel>();
    *body->data.extend(1) = static_cast<std::byte>(core::wire::tag::attachment);
    body->attachments.push_back(
        std::make_unique<core::travelling_memory>(core::shared_memory::create(8), 'q'));
    const value kept = detail::decode({static_cast<std::uint8_t>(core::wire::kind::parcel), std::move(body)});
    EXPECT_TRUE(kept.is_object());
    for (int i = 0; i < 2; ++i) {
        const core::message again = detail::encode(kept);
        EXPECT_EQ(dynamic_cast<const core::travelling_memory&>(*again.body()->attachments.front()).format,
                  'q');
    }
}

} // namespace
} // namespace isthmus::test

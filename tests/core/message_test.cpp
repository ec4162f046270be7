#include "channel_fixture.hpp"
#include "core/slot.hpp"

#include <algorithm>
#include <vector>

namespace isthmus::core::test {
namespace {

/// A slot that somebody else shares too, so that drops are counted in it and nothing else comes of them.
struct shared_slot {
    slot s;
    shared_slot() { s.word = 1; }
    share claim() {
        add_share(s);
        return share(&s);
    }
};

std::vector<std::byte> some_bytes(std::size_t n) {
    std::vector<std::byte> bytes(n);
    for (std::size_t i = 0; i < n; ++i) {
        bytes[i] = static_cast<std::byte>(i + 1);
    }
    return bytes;
}

TEST(message, is_empty_at_first) {
    message m;
    EXPECT_TRUE(m.empty());
    EXPECT_TRUE(m.bytes().empty());
    EXPECT_EQ(m.shared_slot(), nullptr);
    EXPECT_EQ(m.body(), nullptr);
}

TEST(message, carries_inline_bytes_of_every_size) {
    for (std::size_t n = 0; n <= message::inline_capacity; ++n) {
        const std::vector<std::byte> bytes = some_bytes(n);
        message sent(3, bytes);
        const message arrived = std::move(sent);
        EXPECT_EQ(arrived.kind(), 3);
        EXPECT_TRUE(std::ranges::equal(arrived.bytes(), bytes));
        EXPECT_TRUE(
            sent.empty()); // NOLINT(bugprone-use-after-move): what a moved-from message is, is promised
    }
}

TEST(message, drops_its_share_once) {
    shared_slot owned;
    {
        message first(4, owned.claim(), some_bytes(5));
        EXPECT_EQ(owned.s.shares(), 2U);
        message second(std::move(first));
        message third;
        third = std::move(second);
        EXPECT_EQ(third.shared_slot(), &owned.s);
        EXPECT_EQ(third.bytes().size(), 5U);
        EXPECT_EQ(owned.s.shares(), 2U);
    }
    EXPECT_EQ(owned.s.shares(), 1U);
}

TEST(message, gives_its_share_away_and_keeps_the_rest) {
    shared_slot owned;
    message m(4, owned.claim(), some_bytes(5));
    {
        const share taken = m.take_share();
        EXPECT_EQ(taken.get(), &owned.s);
        EXPECT_FALSE(m.take_share());
        m.reset();
        EXPECT_EQ(owned.s.shares(), 2U);
    }
    EXPECT_EQ(owned.s.shares(), 1U);
}

TEST(message, assignment_drops_what_was_there) {
    shared_slot owned;
    message m(4, owned.claim());
    m = message(1, some_bytes(1));
    EXPECT_EQ(owned.s.shares(), 1U);
    EXPECT_EQ(m.shared_slot(), nullptr);
    message& same = m;
    m = std::move(same); // to itself: unchanged
    EXPECT_EQ(m.bytes().size(), 1U);
}

TEST(message, drops_all_a_parcel_holds_once) {
    shared_slot owned;
    std::atomic<int> alive{0};
    auto body = std::make_unique<parcel>();
    const auto bytes = some_bytes(1000);
    body->data.append(bytes.data(), bytes.size());
    body->shares.push_back(owned.claim());
    body->shares.push_back(owned.claim());
    body->attachments.push_back(std::make_unique<tracer>(alive));
    {
        message m(5, std::move(body));
        ASSERT_NE(m.body(), nullptr);
        EXPECT_EQ(m.body()->data.size(), 1000U);
        EXPECT_EQ(owned.s.shares(), 3U);
        const message moved = std::move(m);
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(owned.s.shares(), 1U);
}

TEST(message, gives_its_parcel_away) {
    std::atomic<int> alive{0};
    message m = traced(alive);
    std::unique_ptr<parcel> taken = m.take_parcel();
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(m.take_parcel(), nullptr);
    m.reset();
    EXPECT_EQ(alive, 1);
    taken.reset();
    EXPECT_EQ(alive, 0);
}

TEST(message, of_nothing_is_just_bytes) {
    message no_share(1, share{}, some_bytes(2));
    message no_parcel(1, std::unique_ptr<parcel>{}, some_bytes(2));
    EXPECT_EQ(no_share.shape(), message::form::bytes);
    EXPECT_EQ(no_parcel.shape(), message::form::bytes);
}

TEST(backlog, keeps_order_across_chunks_and_appends) {
    backlog early;
    backlog late;
    spare_chunks spares;
    constexpr std::uint64_t half = 3 * chunk::size + 5; // ends in the middle of a chunk
    for (std::uint64_t i = 0; i < 2 * half; ++i) {
        message m = numbered(i);
        ASSERT_TRUE((i < half ? early : late).push(m, spares));
    }
    early.append(late);
    EXPECT_TRUE(late.empty());
    message out;
    for (std::uint64_t i = 0; i < 2 * half; ++i) {
        ASSERT_TRUE(early.pop(out, spares));
        ASSERT_EQ(number_of(out), i);
    }
    EXPECT_FALSE(early.pop(out, spares));
    EXPECT_TRUE(early.empty());
}

TEST(backlog, destroys_what_is_left) {
    std::atomic<int> alive{0};
    {
        backlog left;
        spare_chunks spares;
        for (int i = 0; i < 100; ++i) {
            message m = traced(alive);
            ASSERT_TRUE(left.push(m, spares));
        }
        message out;
        ASSERT_TRUE(left.pop(out, spares));
        EXPECT_EQ(alive, 100);
    }
    EXPECT_EQ(alive, 0);
}

} // namespace
} // namespace isthmus::core::test

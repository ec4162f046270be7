#include "core/byte_buffer.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace isthmus::core {
namespace {

TEST(byte_buffer, keeps_what_was_added) {
    byte_buffer buffer;
    EXPECT_EQ(buffer.size(), 0U);
    std::size_t expected = 0;
    EXPECT_EQ(buffer.extend(0), nullptr);
    for (std::size_t size : {1U, 7U, 255U, 256U, 257U, 100'000U}) {
        std::byte* const place = buffer.extend(size);
        std::memset(place, static_cast<int>(size % 251), size);
        expected += size;
    }
    ASSERT_EQ(buffer.size(), expected);
    std::size_t at = 0;
    for (std::size_t size : {1U, 7U, 255U, 256U, 257U, 100'000U}) {
        for (std::size_t i = 0; i < size; ++i, ++at) {
            ASSERT_EQ(buffer.data()[at], static_cast<std::byte>(size % 251)) << at;
        }
    }
    buffer.clear();
    EXPECT_EQ(buffer.size(), 0U);
    buffer.append("abc", 3);
    EXPECT_EQ(std::memcmp(buffer.data(), "abc", 3), 0);
}

TEST(byte_buffer, a_move_leaves_it_empty) {
    byte_buffer first;
    first.append("abc", 3);
    byte_buffer second(std::move(first));
    EXPECT_EQ(first.size(), 0U); // NOLINT(bugprone-use-after-move): promised
    EXPECT_EQ(second.size(), 3U);
    first.append("de", 2);
    second = std::move(first);
    ASSERT_EQ(second.size(), 2U);
    EXPECT_EQ(std::memcmp(second.data(), "de", 2), 0);
}

TEST(byte_buffer, what_can_not_be_allocated_changes_nothing) {
    byte_buffer buffer;
    buffer.append("abc", 3);
    EXPECT_THROW(static_cast<void>(buffer.extend(std::numeric_limits<std::size_t>::max())), std::bad_alloc);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // they end the process
    EXPECT_THROW(static_cast<void>(buffer.extend(std::numeric_limits<std::size_t>::max() / 8)),
                 std::bad_alloc);
#endif
    ASSERT_EQ(buffer.size(), 3U);
    EXPECT_EQ(std::memcmp(buffer.data(), "abc", 3), 0);
}

} // namespace
} // namespace isthmus::core

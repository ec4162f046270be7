/// Every allocation and every system call of bytes and text fails once. Part of the program
/// isthmus_fault_tests.
#include "bytes_fixture.hpp"
#include "core/faults.hpp"

#include <stdexcept>

namespace isthmus::test {
namespace {

using core::test::faults::exhaust;
using every_call_of_the_host = bytes_test;

TEST_F(every_call_of_the_host, that_makes_bytes) {
    const std::string data = sample(200'000);
    const std::size_t calls = exhaust([&] {
        const bytes small("small");
        const bytes large(data);
        EXPECT_EQ(small.view(), "small");
        EXPECT_TRUE(large.view() == data);
        const text words("caf\xc3\xa9");
        EXPECT_EQ(words.str(), "caf\xc3\xa9");
        EXPECT_EQ(text(std::string_view(data).substr(0, 0)).length(), 0U);
    });
    EXPECT_GT(calls, 5U);
}

TEST_F(every_call_of_the_host, that_publishes_leaves_the_builder_as_it_was) {
    const std::string data = sample(200'000);
    for (const std::size_t size : {std::size_t{200'000}, std::size_t{100}}) {
        const std::size_t calls = exhaust([&] {
            bytes_builder writing(data.size());
            std::memcpy(writing.data(), data.data(), data.size());
            writing.truncate(size);
            const std::byte* const place = writing.data();
            try {
                EXPECT_TRUE(std::move(writing).publish().view() == std::string_view(data).substr(0, size));
            } catch (const std::bad_alloc&) {
                EXPECT_EQ(writing.data(), place); // NOLINT(bugprone-use-after-move)
                EXPECT_EQ(writing.size(), size);
                EXPECT_TRUE(std::move(writing).publish().view() == std::string_view(data).substr(0, size));
            }
        });
        EXPECT_GE(calls, size < 1'000 ? 3U : 2U);
    }
}

TEST_F(every_call_of_the_host, that_receives) {
    actor owner;
    const std::string data = sample(200'000);
    slot* const s = make_bytes(owner, data);
    ASSERT_NE(s, nullptr);
    const std::size_t calls = exhaust([&] {
        try {
            const bytes first = access::bytes_from(owner.send(*s));
            const bytes second = access::bytes_from(access::share_of(first));
            EXPECT_TRUE(first.view() == data);
            EXPECT_TRUE(second.view() == data);
        } catch (const std::bad_alloc&) {
            owner.drain();
            throw;
        }
        owner.drain();
    });
    EXPECT_EQ(calls, 4U) << "two allocations for each";
    owner.drop(*s);
}

} // namespace
} // namespace isthmus::test

#include "core/descriptor.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace isthmus::core::test {
namespace {

bool is_open(int number) {
    return ::fcntl(number, F_GETFD) >= 0;
}

struct pipe_ends {
    pipe_ends() { EXPECT_EQ(::pipe(ends.data()), 0); }
    ~pipe_ends() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    std::array<int, 2> ends{};
};

TEST(descriptor, is_a_duplicate_that_closes_itself) {
    const pipe_ends p;
    int number = -1;
    {
        const descriptor copy = descriptor::duplicate_of(p.ends[1]);
        number = copy.number();
        EXPECT_NE(number, p.ends[1]);
        EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
        EXPECT_EQ(::write(number, "x", 1), 1);
    }
    EXPECT_FALSE(is_open(number));
    EXPECT_TRUE(is_open(p.ends[1]));
}

TEST(descriptor, moves_and_is_handed_over) {
    const pipe_ends p;
    descriptor first = descriptor::duplicate_of(p.ends[0]);
    const int number = first.number();
    descriptor second = std::move(first);
    EXPECT_EQ(second.number(), number);
    descriptor third = descriptor::duplicate_of(p.ends[0]);
    const int dropped = third.number();
    third = std::move(second);
    EXPECT_FALSE(is_open(dropped));
    EXPECT_EQ(third.release(), number);
    EXPECT_EQ(third.number(), -1);
    EXPECT_TRUE(is_open(number));
    ::close(number);
}

TEST(descriptor, goes_with_a_message_that_nobody_receives) {
    const pipe_ends p;
    auto held = std::make_shared<descriptor>(descriptor::duplicate_of(p.ends[0]));
    const int number = held->number();
    auto body = std::make_unique<parcel>();
    body->attachments.push_back(std::make_unique<travelling_descriptor>(std::move(held)));
    message m(1, std::move(body));
    EXPECT_TRUE(is_open(number));
    m.reset();
    EXPECT_FALSE(is_open(number));
}

TEST(descriptor, says_why_there_is_none) {
    try {
        static_cast<void>(descriptor::duplicate_of(-1));
        FAIL();
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), EBADF);
    }
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    int why = 0;
    try {
        static_cast<void>(descriptor::duplicate_of(0));
    } catch (const std::system_error& error) {
        why = error.code().value();
    }
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(why == EMFILE || why == EINVAL)
        << why; // a limit of 0: the first number asked for is too high
}

} // namespace
} // namespace isthmus::core::test

/// Ends of channels from C++ that travel, their descriptors, waits under a GIL, forks.
#include "channel_fixture.hpp"

namespace isthmus::test {
namespace {

TEST_F(channels, an_end_that_travels_keeps_the_channel_open) {
    auto [receiver, sender] = create_channel(1);
    auto [answers, answering] = create_channel(1);
    const std::uint64_t id = answering.id();
    sender.send(std::pair("answer here", answering));
    { const send_channel gone = std::move(answering); }
    EXPECT_FALSE(answers.is_closed());
    const auto [what, to] = receiver.recv<std::pair<std::string, value>>();
    EXPECT_EQ(to.as<send_channel>().id(), id);
    to.as<send_channel>().send(42);
    EXPECT_EQ(answers.recv<int>(), 42);
}

TEST_F(channels, a_channel_that_carries_itself_is_collected) {
    auto [receiver, sender] = create_channel(2);
    sender.send(receiver);
    sender.send(std::vector<value>{sender, receiver});
}

TEST_F(channels, a_descriptor_is_readable_while_the_end_would_not_block) {
    auto [receiver, sender] = create_channel(1);
    const int readable = receiver.fileno();
    const int writable = sender.fileno();
    EXPECT_EQ(receiver.fileno(), readable);
    EXPECT_FALSE(is_readable(readable));
    EXPECT_TRUE(is_readable(writable));
    sender.send(1);
    EXPECT_TRUE(is_readable(readable));
    EXPECT_FALSE(is_readable(writable));
    EXPECT_EQ(receiver.recv<int>(), 1);
    EXPECT_FALSE(is_readable(readable));
    std::thread other([to = sender]() mutable { to.send(2); });
    EXPECT_TRUE(is_readable(readable, 60'000));
    other.join();
    static_cast<void>(receiver.recv());
    sender.close();
    EXPECT_TRUE(is_readable(readable)) << "the end is news as well";
}

struct hook_calls {
    static inline std::atomic<int> left{0};
    static inline std::atomic<int> back{0};
    static inline thread_local bool holds = false;
    static void* leave() noexcept {
        if (!holds) {
            return nullptr;
        }
        holds = false;
        ++left;
        return &left;
    }
    static void take(void* saved) {
        EXPECT_EQ(saved, &left);
        holds = true;
        ++back;
    }
};

TEST_F(channels, a_wait_lets_go_of_the_gil_and_what_needs_none_does_not) {
    static constexpr detail::gil_hooks hooks{hook_calls::leave, hook_calls::take};
    detail::set_gil_hooks(&hooks);
    hook_calls::holds = true;
    auto [receiver, sender] = create_channel(1);
    sender.send(1);
    EXPECT_EQ(receiver.recv<int>(), 1);
    EXPECT_EQ(receiver.recv_nowait(), std::nullopt);
    EXPECT_THROW(static_cast<void>(receiver.recv(no_wait)), timeout_error);
    EXPECT_EQ(hook_calls::left, 0);
    EXPECT_THROW(static_cast<void>(receiver.recv(a_moment)), timeout_error);
    EXPECT_EQ(hook_calls::left, 1);
    EXPECT_EQ(hook_calls::back, 1);
    EXPECT_TRUE(hook_calls::holds);
    hook_calls::holds = false;
    EXPECT_THROW(static_cast<void>(receiver.recv(a_moment)), timeout_error);
    EXPECT_EQ(hook_calls::left, 1) << "this thread held none";
    detail::set_gil_hooks(nullptr);
}

TEST_F(channels, a_forked_child_uses_the_hosts_channels) {
    auto [receiver, sender] = create_channel(4);
    sender.send("before");
    std::thread waiting([] {
        auto [from, to] = create_channel();
        EXPECT_THROW(static_cast<void>(from.recv(a_moment)), timeout_error);
    });
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        bool good = receiver.recv<std::string>() == "before";
        auto [from, to] = create_channel(1);
        try {
            static_cast<void>(from.recv(a_moment)); // sleeps
            good = false;
        } catch (const timeout_error&) {
        }
        to.send(5);
        good = good && from.recv<int>(never_over) == 5;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    waiting.join();
    EXPECT_EQ(receiver.recv<std::string>(), "before");
}

} // namespace
} // namespace isthmus::test

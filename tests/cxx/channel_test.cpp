/// Channels from C++: every way an operation ends, by either side; order and completeness with many threads;
/// ends that travel; descriptors; forks.

#include "balance.hpp"

#include "cxx/blocking.hpp"
#include "cxx/ends.hpp"

#include <isthmus/channel.hpp>

#include <atomic>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace isthmus::test {
namespace {

using namespace std::chrono_literals;

constexpr patience no_wait = 0ns;
constexpr patience a_moment = 2ms;
constexpr patience never_over = 60s; ///< reaching it means a lost wake-up

class channels : public balanced {};

template <typename Condition> void until_so(Condition so) {
    while (!so()) {
        std::this_thread::yield();
    }
}

void until_receivers_wait(const channel_handle& c, std::uint32_t n) {
    until_so([&] { return c.statistics().waiting_receivers == n; });
}
void until_senders_wait(const channel_handle& c, std::uint32_t n) {
    until_so([&] { return c.statistics().waiting_senders == n; });
}

bool is_readable(int descriptor, int milliseconds = 0) {
    pollfd asked{descriptor, POLLIN, 0};
    return poll(&asked, 1, milliseconds) == 1;
}

/// Another interpreter, as far as a channel knows: a party that holds one end and has used it.
class somebody {
  public:
    somebody(std::uint64_t id, core::end which) : of_(core::channel::all().find(id)), which_(which) {
        of_->add_holder(which_, *me_);
    }
    somebody(const somebody&) = delete;
    somebody& operator=(const somebody&) = delete;
    ~somebody() { of_->drop_holder(which_, *me_); }

    core::outcome send(const value& v) {
        core::message m = detail::encode(v);
        core::wait_site site;
        return of_->send(*me_, m, std::nullopt, site);
    }
    core::outcome recv(value& into) {
        core::message m;
        core::wait_site site;
        const core::outcome how = of_->recv(*me_, m, std::nullopt, site);
        into = how == core::outcome::ok ? detail::decode(std::move(m)) : value();
        return how;
    }
    void close() { of_->close(which_, *me_); }
    void poison(std::string packed) {
        EXPECT_EQ(of_->poison(which_, *me_, std::move(packed)), core::outcome::ok);
    }
    void die() {
        me_->begin_close();
        core::party_died_everywhere(*me_);
    }

  private:
    std::shared_ptr<core::party> me_ = core::party::create();
    std::shared_ptr<core::channel> of_;
    core::end which_;
};

// ---- rendezvous, buffers, time

TEST_F(channels, a_rendezvous_returns_when_the_value_was_received) {
    auto [receiver, sender] = create_channel();
    EXPECT_FALSE(sender.send_nowait(1));
    EXPECT_THROW(sender.send(1, a_moment), timeout_error);
    std::atomic<bool> sent{false};
    std::thread other([&, to = sender]() mutable {
        to.send(std::tuple("hello", 2), never_over);
        sent = true;
    });
    until_senders_wait(receiver, 1);
    EXPECT_FALSE(sent);
    EXPECT_EQ(receiver.recv(never_over), value(std::tuple("hello", 2)));
    other.join();
    EXPECT_TRUE(sent);
    EXPECT_EQ(receiver.recv_nowait(), std::nullopt);
}

TEST_F(channels, a_buffer_holds_as_much_as_was_said) {
    auto [receiver, sender] = create_channel(2);
    EXPECT_TRUE(sender.send_nowait(1));
    sender.send(2, no_wait);
    EXPECT_FALSE(sender.send_nowait(3));
    EXPECT_THROW(sender.send(3, no_wait), timeout_error);
    EXPECT_EQ(receiver.statistics().buffered, 2U);
    EXPECT_EQ(receiver.recv<int>(), 1);
    sender.send(3, -5s);
    EXPECT_EQ(receiver.recv<int>(no_wait), 2);
    EXPECT_EQ(receiver.recv_nowait(), value(3));
    EXPECT_THROW(static_cast<void>(receiver.recv(no_wait)), timeout_error);
    EXPECT_THROW(static_cast<void>(receiver.recv(a_moment)), timeout_error);
    const channel_statistics counts = sender.statistics();
    EXPECT_EQ(counts.sent, 3U);
    EXPECT_EQ(counts.received, 3U);
    EXPECT_EQ(counts.dropped, 0U);
}

TEST_F(channels, none_without_limit_waits) {
    auto [receiver, sender] = create_channel(std::nullopt);
    std::vector<value> many;
    for (int i = 0; i < 1'000; ++i) {
        many.emplace_back(i);
    }
    sender.send_many(many, no_wait);
    EXPECT_EQ(receiver.recv_many(10).size(), 10U);
    const std::vector<value> rest = receiver.recv_many(5'000);
    ASSERT_EQ(rest.size(), 990U);
    EXPECT_EQ(rest.back(), value(999));
    EXPECT_THROW(static_cast<void>(receiver.recv_many(1, no_wait)), timeout_error);
    EXPECT_THROW(static_cast<void>(receiver.recv_many(0)), std::invalid_argument);
}

TEST_F(channels, many_are_sent_within_one_time) {
    auto [receiver, sender] = create_channel(3);
    const std::vector<value> five(5, value("x"));
    EXPECT_THROW(sender.send_many(five, a_moment), timeout_error);
    EXPECT_EQ(receiver.recv_many(9).size(), 3U) << "those before the one that failed";
    std::thread other([&, to = sender]() mutable { to.send_many(five, never_over); });
    std::size_t received = 0;
    while (received < 5) {
        received += receiver.recv_many(9, never_over).size();
    }
    other.join();
    EXPECT_EQ(received, 5U);
}

TEST_F(channels, of_many_those_before_the_one_that_cannot_cross_are_sent) {
    auto [receiver, sender] = create_channel(9);
    const std::vector<value> bad = {1, 2, std::vector{value::of(value::handle{})}, 4};
    EXPECT_THROW(sender.send_many(bad), not_shareable_error);
    EXPECT_EQ(receiver.recv_many(9), (std::vector<value>{1, 2}));
}

// ---- endings

TEST_F(channels, the_host_closes_each_end_once) {
    auto [receiver, sender] = create_channel(4);
    sender.send(1);
    EXPECT_TRUE(sender.close());
    EXPECT_FALSE(sender.close());
    EXPECT_THROW(sender.send(2), released_error);
    EXPECT_THROW(static_cast<void>(sender.send_nowait(2)), released_error);
    EXPECT_THROW(static_cast<void>(sender.fileno()), released_error);
    EXPECT_THROW(sender.poison("late"), released_error);
    EXPECT_FALSE(receiver.is_closed()) << "one is left";
    EXPECT_EQ(receiver.recv<int>(), 1);
    EXPECT_THROW(static_cast<void>(receiver.recv()), closed_error);
    EXPECT_THROW(static_cast<void>(receiver.recv_nowait()), closed_error);
    receiver.close();
    EXPECT_TRUE(receiver.is_closed());
}

TEST_F(channels, closing_wakes_the_hosts_own_waits) {
    auto [receiver, sender] = create_channel();
    std::thread waiting([from = receiver]() mutable {
        EXPECT_THROW(static_cast<void>(from.recv(never_over)), released_error);
    });
    until_receivers_wait(receiver, 1);
    receiver.close();
    waiting.join();
    EXPECT_THROW(sender.send(1, never_over), closed_error);
}

TEST_F(channels, iteration_ends_with_the_senders) {
    auto [receiver, sender] = create_channel(1);
    std::thread other([to = std::move(sender)]() mutable {
        for (int i = 0; i < 100; ++i) {
            to.send(i, never_over);
        }
        to.close();
    });
    int expected = 0;
    for (const value& each : receiver) {
        EXPECT_EQ(each.as<int>(), expected++);
    }
    EXPECT_EQ(expected, 100);
    other.join();
}

TEST_F(channels, somebody_elses_close_and_death_end_it_after_what_is_buffered) {
    for (const bool dies : {false, true}) {
        auto [receiver, sender] = create_channel(4);
        somebody there(sender.id(), core::end::send);
        sender.close();
        EXPECT_EQ(there.send("last"), core::outcome::ok);
        dies ? there.die() : there.close();
        EXPECT_EQ(receiver.recv<std::string>(never_over), "last");
        EXPECT_THROW(static_cast<void>(receiver.recv(never_over)), closed_error);
    }
}

TEST_F(channels, a_receiver_that_dies_wakes_the_hosts_senders) {
    auto [receiver, sender] = create_channel(1);
    somebody there(sender.id(), core::end::recv);
    receiver.close();
    sender.send(1);
    value got;
    EXPECT_EQ(there.recv(got), core::outcome::ok);
    sender.send(2);
    std::thread waiting([to = sender]() mutable { EXPECT_THROW(to.send(3, never_over), closed_error); });
    until_senders_wait(sender, 1);
    there.die();
    waiting.join();
}

TEST_F(channels, poison_wakes_and_ends_everybody_with_its_reason) {
    auto [receiver, sender] = create_channel(1);
    somebody there(sender.id(), core::end::recv);
    std::thread waiting([from = receiver]() mutable {
        try {
            static_cast<void>(from.recv(never_over));
            ADD_FAILURE() << "it received something";
        } catch (const poisoned_error& poison) {
            EXPECT_STREQ(poison.what(), "out of coffee");
        }
    });
    until_receivers_wait(receiver, 1);
    sender.poison("out of coffee");
    waiting.join();
    value got;
    EXPECT_EQ(there.recv(got), core::outcome::poisoned);
    EXPECT_THROW(sender.send(1), poisoned_error);
    EXPECT_THROW(sender.poison("again"), poisoned_error);
    EXPECT_TRUE(sender.is_closed());
}

TEST_F(channels, somebody_elses_poison_says_what_it_is_in_words) {
    auto [receiver, sender] = create_channel(1);
    somebody there(sender.id(), core::end::send);
    there.poison(detail::pack_reason("ValueError: bad") + "a pickle");
    try {
        static_cast<void>(receiver.recv());
        ADD_FAILURE() << "it received something";
    } catch (const poisoned_error& poison) {
        EXPECT_STREQ(poison.what(), "ValueError: bad");
    }
}

TEST_F(channels, the_last_object_of_an_end_drops_its_holder) {
    auto [receiver, sender] = create_channel(4);
    const std::shared_ptr<core::channel> inside = core::channel::all().find(sender.id());
    {
        std::optional<send_channel> copy = sender;
        const send_channel moved = std::move(*copy);
        copy.reset();
        EXPECT_EQ(moved, sender);
        EXPECT_EQ(inside->survey().holders, 2U) << "copies share one";
        const value another = moved;
        EXPECT_EQ(inside->survey().holders, 2U);
        const value received = detail::decode(detail::encode(another));
        EXPECT_EQ(inside->survey().holders, 3U) << "what was received has one of its own";
        EXPECT_EQ(inside->survey().in_flight, 0U);
    }
    EXPECT_EQ(inside->survey().holders, 2U);
    EXPECT_FALSE(receiver == sender);
}

// ---- many threads

TEST_F(channels, nothing_is_lost_and_each_senders_order_is_kept) {
    constexpr int senders = 4;
    constexpr int receivers = 3;
    constexpr int each = 2'000;
    for (const std::optional<std::size_t> capacity :
         {std::optional<std::size_t>{0}, std::optional<std::size_t>{7}, std::optional<std::size_t>{}}) {
        auto [receiver, sender] = create_channel(capacity);
        std::atomic<int> sending{senders};
        std::atomic<long> sum{0};
        std::vector<std::thread> all;
        for (int who = 0; who < senders; ++who) {
            all.emplace_back([&, who, to = sender]() mutable {
                for (int i = 0; i < each; i += 10) {
                    std::vector<value> ten;
                    for (int k = 0; k < 10; ++k) {
                        ten.emplace_back(std::pair(who, i + k));
                    }
                    if (i % 20 == 0) {
                        to.send_many(ten, never_over);
                    } else {
                        for (const value& one : ten) {
                            to.send(one, never_over);
                        }
                    }
                }
                if (--sending == 0) {
                    to.close();
                }
            });
        }
        std::atomic<int> count{0};
        for (int i = 0; i < receivers; ++i) {
            all.emplace_back([&, from = receiver]() mutable {
                std::array<int, senders> last;
                last.fill(-1);
                for (const value& one : from) {
                    const auto [who, n] = one.as<std::pair<std::size_t, int>>();
                    EXPECT_GT(n, last.at(who));
                    last.at(who) = n;
                    sum += n;
                    ++count;
                }
            });
        }
        for (std::thread& one : all) {
            one.join();
        }
        EXPECT_EQ(count, senders * each);
        EXPECT_EQ(sum, long{senders} * each * (each - 1) / 2);
    }
}

// ---- ends that travel, descriptors, GILs, forks

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

/// bytes and text in processes that fork, and in those that get no shared memory or no window.
#include "bytes_fixture.hpp"

#include "cxx/host_memory.hpp"

#include <atomic>
#include <memory>
#include <sys/resource.h>
#include <thread>
#include <vector>

namespace isthmus::test {
namespace {

using host_forks = bytes_test;

/// What a child may do with what it was born with, and with what it makes.
void live_in_child(actor& owner, slot& theirs, bytes& made, bytes& received, const std::string& data) {
    EXPECT_TRUE(made.shared() && made.view() == data);
    EXPECT_TRUE(received.shared() && received.view() == data);
    EXPECT_EQ(theirs.shares(), 1U);
    bytes mine(sample(500'000, 9));
    EXPECT_TRUE(mine.shared());
    actor other;
    void* const twin = receive(other, access::share_of(made));
    ASSERT_NE(twin, nullptr);
    EXPECT_EQ(seen_at(twin), terminated(data));
    bytes again = access::bytes_from(access::share_of(received));
    EXPECT_EQ(again.data(), received.data());
    other.drop(twin);
    const slot* const own = access::share_of(made).get();
    made = bytes();
    EXPECT_EQ(own->state.load(), slot::use::idle);
    again = bytes();
    received = bytes();
    EXPECT_EQ(theirs.shares(), 0U);
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_TRUE(mine.view() == sample(500'000, 9));
}

TEST_F(host_forks, leave_each_process_its_own) {
    actor owner;
    const std::string data = sample(300'000);
    slot* const s = make_bytes(owner, data);
    {
        bytes made(data);
        bytes received = access::bytes_from(owner.send(*s));
        EXPECT_EQ(in_child([&] { live_in_child(owner, *s, made, received, data); }), 0);
        EXPECT_TRUE(made.view() == data);
        EXPECT_TRUE(received.view() == data);
        EXPECT_EQ(s->shares(), 1U) << "the child's drops are its own";
    }
    EXPECT_EQ(owner.drain(), 1U);
    owner.drop(*s);
}

TEST_F(host_forks, show_no_process_what_the_other_writes) {
    bytes_builder writing(mebibyte);
    std::memset(writing.data(), 1, mebibyte);
    EXPECT_EQ(in_child([&] {
                  std::memset(writing.data(), 2, mebibyte);
                  const bytes made = std::move(writing).publish();
                  EXPECT_EQ(made.data()[mebibyte - 1], std::byte{2});
              }),
              0);
    const bytes made = std::move(writing).publish();
    EXPECT_EQ(made.data()[0], std::byte{1});
    EXPECT_EQ(made.data()[mebibyte - 1], std::byte{1});
}

TEST_F(host_forks, beside_threads_that_make_and_drop_leave_the_mutex_free) {
    std::atomic<bool> stop{false};
    std::vector<std::thread> beside;
    for (unsigned n = 0; n < 2; ++n) {
        beside.emplace_back([&stop, n] {
            bytes kept;
            while (!stop.load()) {
                bytes_builder writing(least_shared() + n * 70'000);
                writing.data()[0] = std::byte{7};
                kept = std::move(writing).publish();
                ASSERT_EQ(kept.data()[0], std::byte{7});
            }
        });
    }
    {
        const std::string data = sample(200'000);
        bytes made(data);
        for (int n = 0; n < 20; ++n) {
            EXPECT_EQ(in_child([&] {
                          EXPECT_TRUE(made.view() == data);
                          EXPECT_TRUE(bytes(data).shared());
                          const slot* const s = access::share_of(made).get();
                          made = bytes();
                          EXPECT_EQ(s->state.load(), slot::use::idle);
                      }),
                      0);
        }
    }
    stop.store(true);
    for (std::thread& each : beside) {
        each.join();
    }
}

TEST_F(host_forks, run_in_the_child_what_another_thread_had_posted) {
    const bytes another(sample(200'000)); // the window is there
    auto made = std::make_unique<bytes>(sample(200'000, 1));
    const slot* const s = access::share_of(*made).get();
    detail::host().before_fork();
    std::thread([&] { made.reset(); }).join(); // posted, and left to who has the mutex
    EXPECT_EQ(s->state.load(), slot::use::live);
    detail::host().after_fork();
    EXPECT_EQ(s->state.load(), slot::use::idle);
}

/// In a process of its own, in which nothing was started yet.
template <typename Body> void alone(Body body) {
    testing::FLAGS_gtest_death_test_style = "threadsafe"; // executes this program again
    EXPECT_EXIT(
        {
            body();
            std::_Exit(testing::Test::HasFailure() ? 1 : 0);
        },
        testing::ExitedWithCode(0), "");
}

/// All of it works, and nothing is shared.
void use_the_heap() {
    const std::string data = sample(mebibyte);
    const bytes made(data);
    EXPECT_FALSE(made.shared());
    EXPECT_TRUE(made.view() == data);
    EXPECT_EQ(made.data()[data.size()], std::byte{0});
    EXPECT_FALSE(access::share_of(made));
    const bytes copy = made;
    EXPECT_TRUE(copy.same_memory(made));
    EXPECT_FALSE(bytes(data).same_memory(made));
    bytes_builder writing(mebibyte);
    writing.truncate(200'000);
    std::memcpy(writing.data(), data.data(), writing.size());
    EXPECT_TRUE(std::move(writing).publish().view() == std::string_view(data).substr(0, 200'000));
    const text words(std::string(200'000, 'x') + "\xc3\xa9");
    EXPECT_FALSE(words.shared());
    EXPECT_EQ(words.length(), 200'001U);
}

TEST(host_alone, without_an_arena_uses_the_heap) {
    alone([] {
        rlimit limit{};
        EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = mebibyte;
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
        use_the_heap();
        EXPECT_FALSE(memory().started());
        EXPECT_STREQ(memory().space().why(), "RLIMIT_FSIZE is too small for the arena");
        EXPECT_EQ(in_child(use_the_heap), 0);
    });
}

TEST(host_alone, small_values_start_nothing) {
    alone([] {
        EXPECT_EQ(bytes("small").view(), "small");
        EXPECT_EQ(text("small").str(), "small");
        EXPECT_FALSE(memory().started());
        EXPECT_TRUE(bytes(sample(mebibyte)).shared());
        EXPECT_TRUE(memory().started());
    });
}

TEST(host_alone, without_a_window_copies_until_there_is_one) {
    alone([] {
        core::start();
        ASSERT_TRUE(memory().started());
        std::vector<std::unique_ptr<actor>> all;
        for (unsigned n = 0; n < memory().space().windows(); ++n) {
            all.push_back(std::make_unique<actor>());
        }
        use_the_heap();
        const std::string data = sample(300'000);
        slot* const s = make_bytes(*all[0], data);
        const std::uint64_t copies = statistics::read(counter::fallback_copies);
        const bytes received = access::bytes_from(all[0]->send(*s));
        EXPECT_FALSE(received.shared());
        EXPECT_TRUE(received.view() == data);
        EXPECT_EQ(statistics::read(counter::fallback_copies) - copies, 1U);
        all.pop_back(); // one ends, and its window is free
        EXPECT_TRUE(access::bytes_from(all[0]->send(*s)).shared());
        EXPECT_TRUE(bytes(data).shared());
    });
}

} // namespace
} // namespace isthmus::test

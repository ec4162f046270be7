/// bytes and bytes_builder in one process, without an interpreter.
#include "bytes_fixture.hpp"

#include "cxx/host_memory.hpp"

#include <array>
#include <atomic>
#include <future>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

namespace isthmus::test {
namespace {

using bytes_values = bytes_test;

TEST_F(bytes_values, nothing_is_empty_and_allocates_nothing) {
    const bytes none;
    EXPECT_TRUE(none.empty());
    EXPECT_EQ(none.data(), nullptr);
    EXPECT_FALSE(none.shared());
    EXPECT_EQ(none, bytes(std::string_view()));
    EXPECT_TRUE(none.same_memory(bytes(std::string_view())));
    EXPECT_EQ(none.view(), "");
    EXPECT_FALSE(access::share_of(none));
    EXPECT_EQ(bytes_builder(0).size(), 0U);
    EXPECT_EQ(bytes_builder(0).publish(), none);
}

TEST_F(bytes_values, of_every_size_hold_what_was_written) {
    const std::size_t least = least_shared();
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{31}, std::size_t{32}, std::size_t{33}, std::size_t{4'000}, least - 1,
          least, least + 1, memory().chosen().threshold, mebibyte, 64 * mebibyte}) {
        const std::string data = sample(size);
        const bytes made(data);
        EXPECT_EQ(made.size(), size);
        EXPECT_TRUE(made.view() == data) << size;
        EXPECT_EQ(made.shared(), size >= least) << size;
        EXPECT_EQ(static_cast<bool>(access::share_of(made)), made.shared());
        EXPECT_EQ(made.data()[size], std::byte{0}) << "terminated, as CPython wants it";
        EXPECT_EQ(made, bytes(std::as_bytes(std::span(data))));
        EXPECT_FALSE(made.same_memory(bytes(data)));
    }
}

TEST_F(bytes_values, copies_are_the_same_memory_and_last_as_long_as_any) {
    const std::string data = sample(mebibyte);
    const std::uint64_t slots_before = slots();
    auto first = std::make_unique<bytes>(data);
    bytes second(*first);
    bytes third;
    third = second;
    EXPECT_EQ(third.data(), first->data());
    EXPECT_TRUE(third.same_memory(*first));
    EXPECT_EQ(slots() - slots_before, 1U);
    first.reset();
    second = bytes();
    EXPECT_TRUE(third.view() == data);
    EXPECT_EQ(slots() - slots_before, 1U);
    third = bytes("small");
    EXPECT_EQ(slots(), slots_before) << "freed with the last one, at once";
}

TEST_F(bytes_values, that_were_moved_from_are_empty) {
    for (const std::size_t size : {std::size_t{10}, mebibyte}) {
        bytes first(sample(size));
        const std::byte* const data = first.data();
        bytes second(std::move(first));
        EXPECT_EQ(second.data(), data);
        EXPECT_TRUE(first.empty()); // NOLINT(bugprone-use-after-move)
        EXPECT_EQ(first.data(), nullptr);
        first = std::move(second);
        EXPECT_EQ(first.size(), size);
        EXPECT_TRUE(second.empty()); // NOLINT(bugprone-use-after-move)
        bytes& same = first;
        first = std::move(same);
        EXPECT_EQ(first.size(), size);
    }
}

TEST_F(bytes_values, compare_by_what_is_in_them) {
    EXPECT_EQ(bytes("abc"), bytes("abc"));
    EXPECT_FALSE(bytes("abc") == bytes("abd"));
    EXPECT_FALSE(bytes("abc") == bytes("ab"));
    EXPECT_EQ(bytes(sample(mebibyte)), bytes(sample(mebibyte)));
    EXPECT_FALSE(bytes(sample(mebibyte)) == bytes(sample(mebibyte, 1)));
}

using builders = bytes_test;

TEST_F(builders, publish_without_a_copy) {
    for (const std::size_t size : {std::size_t{100}, mebibyte}) {
        const std::uint64_t copied = statistics::read(counter::payload_bytes_copied);
        bytes_builder writing(size);
        std::byte* const data = writing.data();
        const std::string wanted = sample(size);
        std::memcpy(writing.span().data(), wanted.data(), size);
        const bytes made = std::move(writing).publish();
        EXPECT_EQ(made.data(), data);
        EXPECT_TRUE(made.view() == wanted);
        EXPECT_EQ(writing.size(), 0U); // NOLINT(bugprone-use-after-move)
        EXPECT_EQ(writing.data(), nullptr);
        EXPECT_TRUE(std::move(writing).publish().empty());
        EXPECT_EQ(statistics::read(counter::payload_bytes_copied), copied);
    }
}

TEST_F(builders, that_are_given_up_give_their_room_back) {
    const std::uint64_t before = slots();
    {
        bytes_builder first(mebibyte);
        bytes_builder second(mebibyte);
        EXPECT_EQ(slots() - before, 2U);
        second = std::move(first);
        EXPECT_EQ(slots() - before, 1U);
        EXPECT_EQ(first.data(), nullptr); // NOLINT(bugprone-use-after-move)
        const bytes_builder third(std::move(second));
        EXPECT_EQ(third.size(), mebibyte);
    }
    EXPECT_EQ(slots(), before);
}

TEST_F(builders, truncate_down_to_nothing_but_never_up) {
    const std::size_t least = least_shared();
    const std::string data = sample(mebibyte);
    for (const std::size_t size :
         {mebibyte, mebibyte - 1, least, least - 1, std::size_t{1}, std::size_t{0}}) {
        bytes_builder writing(mebibyte);
        std::memcpy(writing.data(), data.data(), data.size());
        const std::byte* const place = writing.data();
        EXPECT_THROW(writing.truncate(mebibyte + 1), std::invalid_argument);
        writing.truncate(size);
        EXPECT_EQ(writing.span().size(), size);
        EXPECT_THROW(writing.truncate(size + 1), std::invalid_argument) << "what was cut off is gone";
        const bytes made = std::move(writing).publish();
        EXPECT_TRUE(made.view() == std::string_view(data).substr(0, size));
        EXPECT_EQ(made.shared(), size >= least);
        EXPECT_EQ(made.data() == place, size >= least) << "copied only below the threshold";
        if (made.shared()) {
            const core::share held = access::share_of(made);
            EXPECT_EQ(held.get()->bytes.load(), core::bytes_header + size + 1);
            EXPECT_EQ(held.get()->record.length, static_cast<std::int64_t>(size));
        }
        if (!made.empty()) {
            EXPECT_EQ(made.data()[size], std::byte{0});
        }
    }
}

TEST_F(builders, refuse_what_no_memory_could_hold) {
    for (const std::size_t size :
         {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() - 40,
          std::numeric_limits<std::size_t>::max() / 2}) {
        EXPECT_THROW(bytes_builder{size}, std::bad_alloc);
    }
}

using host_releases = bytes_test;

TEST_F(host_releases, happen_on_whichever_thread_ends_the_last_share) {
    const std::uint64_t before = slots();
    bytes made(sample(mebibyte));
    core::share held = access::share_of(made);
    std::thread([last = std::move(made)] {}).join();
    EXPECT_EQ(slots() - before, 1U) << "a message holds it still";
    std::thread([last = std::move(held)] {}).join();
    EXPECT_EQ(slots(), before);
}

TEST_F(host_releases, wait_for_nobody_and_are_done_by_who_has_the_mutex) {
    const std::uint64_t before = slots();
    bytes made(sample(mebibyte));
    bytes another(sample(mebibyte, 1));
    std::future<void> dropping;
    detail::host().before_fork(); // has the mutex from here on
    dropping = std::async(std::launch::async, [&] {
        made = bytes();
        another = bytes();
    });
    EXPECT_EQ(dropping.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    EXPECT_EQ(slots() - before, 2U);
    detail::host().after_fork();
    EXPECT_EQ(slots(), before);
    dropping.get();
}

/// Two threads that begin each round together.
class rounds_of_two {
  public:
    void meet() {
        const unsigned turn = arrived_.fetch_add(1) / 2;
        while (arrived_.load() / 2 == turn) {
            std::this_thread::yield();
        }
    }

  private:
    std::atomic<unsigned> arrived_{0};
};

TEST_F(host_releases, that_come_while_another_thread_unlocks_are_not_left) {
    constexpr int times = 20'000;
    const std::uint64_t before = slots();
    std::array<bytes, 2> made;
    rounds_of_two both;
    int left = 0;
    std::thread beside([&] {
        for (int n = 0; n < times; ++n) {
            both.meet();
            made[1] = bytes();
            both.meet();
        }
    });
    for (int n = 0; n < times; ++n) {
        for (bytes& each : made) {
            each = bytes_builder(least_shared()).publish();
        }
        both.meet();
        made[0] = bytes();
        both.meet();
        left += slots() != before ? 1 : 0; // before anybody has the mutex again
    }
    beside.join();
    EXPECT_EQ(left, 0);
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int host_rounds = 1'500;
#else
constexpr int host_rounds = 8'000;
#endif

/// Makes, copies, swaps with others, and drops. What is dropped may have been made by any thread.
void churn_bytes(std::vector<bytes>& common, std::mutex& lock, std::uint64_t seed) {
    dice chance(seed);
    std::array<bytes, 4> mine;
    for (int n = 0; n < host_rounds; ++n) {
        bytes& one = mine[chance.roll(mine.size())];
        if (chance.once_in(3)) {
            const std::size_t size = least_shared() + chance.roll(100'000);
            bytes_builder writing(size);
            const auto mark = static_cast<std::byte>(size % 251);
            writing.data()[0] = mark;
            writing.data()[size / 2] = mark;
            writing.data()[size - 1] = mark;
            one = std::move(writing).publish();
        } else if (chance.once_in(2)) {
            const std::lock_guard guard(lock);
            std::swap(one, common[chance.roll(common.size())]);
        } else {
            core::share held = access::share_of(one);
            one = held ? access::bytes_from(std::move(held)) : bytes();
        }
        if (!one.empty()) {
            const auto mark = static_cast<std::byte>(one.size() % 251);
            ASSERT_TRUE(one.shared());
            ASSERT_EQ(one.data()[0], mark);
            ASSERT_EQ(one.data()[one.size() / 2], mark);
            ASSERT_EQ(one.data()[one.size() - 1], mark);
        }
    }
}

TEST_F(host_releases, by_many_threads_at_once_leave_nothing_undone) {
    const std::uint64_t seed = core::test::test_seed();
    std::vector<bytes> common(8);
    std::mutex lock;
    std::vector<std::thread> threads;
    for (std::uint64_t n = 0; n < 4; ++n) {
        threads.emplace_back([&, n] { churn_bytes(common, lock, seed + n); });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    // The fixture sees that every release has run, though nobody looked at the host's memory since.
}

} // namespace
} // namespace isthmus::test

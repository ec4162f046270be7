/// The inbox alone: nothing lost, order kept, closed refuses (design section 6).

#include "core/inbox.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

struct letter : inbox_node {
    std::size_t poster = 0;
    std::uint32_t number = 0;
    std::uint32_t content = 0; ///< written before the post, not atomic on purpose
};

letter* next(inbox_node* node) {
    return static_cast<letter*>(node->next_posted.load(std::memory_order_relaxed));
}

TEST(inbox, gives_back_the_oldest_first) {
    inbox box;
    std::array<letter, 5> letters;
    EXPECT_TRUE(box.empty());
    EXPECT_EQ(box.drain(), nullptr);
    for (std::uint32_t n = 0; n < letters.size(); ++n) {
        letters[n].number = n;
        EXPECT_EQ(box.post(letters[n]), n == 0 ? inbox::posted::first : inbox::posted::behind_others);
        EXPECT_FALSE(box.empty());
        EXPECT_EQ(box.depth(), n + 1);
    }
    std::uint32_t expected = 0;
    for (auto* l = static_cast<letter*>(box.drain()); l != nullptr; l = next(l)) {
        EXPECT_EQ(l->number, expected++);
    }
    EXPECT_EQ(expected, letters.size());
    EXPECT_TRUE(box.empty());
    EXPECT_EQ(box.depth(), 0U);
    EXPECT_EQ(box.post(letters[2]), inbox::posted::first);
    EXPECT_EQ(box.drain(), &letters[2]);
}

TEST(inbox, closed_refuses_until_it_is_reopened) {
    inbox box;
    std::array<letter, 3> letters;
    EXPECT_EQ(box.post(letters[0]), inbox::posted::first);
    EXPECT_EQ(box.close(), &letters[0]);
    EXPECT_TRUE(box.empty());
    EXPECT_EQ(box.post(letters[1]), inbox::posted::refused);
    EXPECT_EQ(box.post(letters[1]), inbox::posted::refused);
    EXPECT_EQ(box.drain(), nullptr) << "a drain does not reopen";
    EXPECT_EQ(box.close(), nullptr);
    EXPECT_EQ(box.depth(), 0U) << "what was refused does not wait";
    EXPECT_EQ(box.post(letters[2]), inbox::posted::refused);
    box.reopen();
    EXPECT_EQ(box.post(letters[2]), inbox::posted::first);
    EXPECT_EQ(box.drain(), &letters[2]);
}

constexpr std::size_t posters = 3;
constexpr std::uint32_t each = 20'000;

/// What arrived, checked for each poster's order.
class received {
  public:
    void add_all(inbox_node* node) {
        batches_ += node != nullptr ? 1 : 0;
        while (node != nullptr) {
            auto* const l = static_cast<letter*>(node);
            node = next(l);
            ASSERT_GE(l->number, due_[l->poster]) << "out of order, or twice";
            due_[l->poster] = l->number + 1;
            ASSERT_EQ(l->content, l->number * 3U) << "what the poster wrote before must be seen";
            ++count_;
        }
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::uint64_t batches() const { return batches_; }

  private:
    std::array<std::uint32_t, posters> due_{};
    std::uint64_t count_ = 0;
    std::uint64_t batches_ = 0;
};

/// Posts `each` letters; counts what the inbox said.
struct poster {
    std::uint64_t first = 0;
    std::uint64_t accepted = 0;
    std::vector<letter> letters = std::vector<letter>(each);

    void run(inbox& box, std::size_t name) {
        for (std::uint32_t n = 0; n < each; ++n) {
            letter& l = letters[n];
            l.poster = name;
            l.number = n;
            l.content = n * 3U;
            const inbox::posted answer = box.post(l);
            first += answer == inbox::posted::first ? 1 : 0;
            accepted += answer != inbox::posted::refused ? 1 : 0;
        }
    }
};

void post_and_drain(std::uint64_t close_after) {
    inbox box;
    std::array<poster, posters> all;
    std::atomic<std::size_t> running{posters};
    std::vector<std::thread> threads;
    for (std::size_t name = 0; name < posters; ++name) {
        threads.emplace_back([&, name] {
            all[name].run(box, name);
            running.fetch_sub(1, std::memory_order_release);
        });
    }
    received got;
    bool done = false;
    while (!done && got.count() < close_after) {
        done = running.load(std::memory_order_acquire) == 0;
        got.add_all(box.drain());
        std::this_thread::yield();
    }
    got.add_all(box.close());
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(box.drain(), nullptr);
    EXPECT_EQ(box.depth(), 0U);
    std::uint64_t accepted = 0;
    std::uint64_t first = 0;
    for (const poster& p : all) {
        accepted += p.accepted;
        first += p.first;
    }
    EXPECT_EQ(got.count(), accepted) << "accepted is delivered, refused is not";
    EXPECT_EQ(got.batches(), first) << "each batch has one poster that had to wake the owner";
}

TEST(inbox, loses_nothing_and_keeps_each_posters_order) {
    post_and_drain(posters * each);
}

TEST(inbox, what_it_accepted_before_it_closed_is_delivered) {
    for (int round = 0; round < 10; ++round) {
        post_and_drain(1 + static_cast<std::uint64_t>(round) * 300);
    }
}

} // namespace
} // namespace isthmus::core::test

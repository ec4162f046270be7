/// Owners and receivers on threads of their own, sending, forwarding, dropping and dying (invariants 1, 5, 6,
/// 7, 10). The seed is printed; each thread rolls dice of its own.

#include "memory_fixture.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace isthmus::core::test {
namespace {

/// Shares on their way to one thread.
class mailbox {
  public:
    void put(share s) {
        const std::lock_guard guard(lock_);
        waiting_.push_back(std::move(s));
    }
    std::optional<share> take() {
        const std::lock_guard guard(lock_);
        if (waiting_.empty()) {
            return std::nullopt;
        }
        std::optional<share> first(std::move(waiting_.front()));
        waiting_.pop_front();
        return first;
    }
    [[nodiscard]] std::size_t depth() {
        const std::lock_guard guard(lock_);
        return waiting_.size();
    }

  private:
    std::mutex lock_;
    std::deque<share> waiting_;
};

/// Receives, looks, keeps, forwards and drops what comes in, until told to stop and nothing is left.
class receiver_thread {
  public:
    receiver_thread(std::vector<std::unique_ptr<mailbox>>& boxes, std::size_t mine, std::uint64_t seed,
                    const std::atomic<bool>& stop)
        : boxes_(boxes), mine_(mine), chance_(seed), stop_(stop) {}

    void operator()() {
        while (true) {
            // Asked first: what was sent before the stop lies in the box by then.
            const bool stopping = stop_.load(std::memory_order_acquire);
            std::optional<share> held = boxes_[mine_]->take();
            if (!held && stopping) {
                break;
            }
            if (held) {
                accept(*std::move(held), stopping);
            } else {
                std::this_thread::yield();
            }
            while (kept_.size() > 12) {
                let_go(chance_.roll(kept_.size()));
            }
        }
        while (!kept_.empty() && !chance_.once_in(20)) {
            let_go(kept_.size() - 1);
        }
        // What is kept still goes with the window.
    }

  private:
    void accept(share held, bool stopping) {
        slot& s = *held.get();
        const bool forwarded = !stopping && chance_.once_in(3);
        if (forwarded) {
            add_share(s);
            boxes_[chance_.roll(boxes_.size())]->put(share(&s));
        }
        if (chance_.once_in(5)) {
            return; // dropped unseen
        }
        void* const object = self_.receive(std::move(held));
        ASSERT_NE(object, nullptr);
        ASSERT_EQ(first_difference(s, object), 0U);
        kept_.push_back(object);
    }

    void let_go(std::size_t index) {
        void* const object = kept_[index];
        const slot* const s = memory().find(object);
        ASSERT_NE(s, nullptr);
        ASSERT_EQ(first_difference(*s, object), 0U) << "changed while a share was held";
        kept_[index] = kept_.back();
        kept_.pop_back();
        self_.drop(object);
    }

    actor self_;
    std::vector<std::unique_ptr<mailbox>>& boxes_;
    std::size_t mine_;
    dice chance_;
    const std::atomic<bool>& stop_;
    std::vector<void*> kept_;
};

/// Some receivers, stopped and joined in the end.
class receivers {
  public:
    receivers(std::size_t count, std::uint64_t seed) {
        for (std::size_t n = 0; n < count; ++n) {
            boxes_.push_back(std::make_unique<mailbox>());
        }
        for (std::size_t n = 0; n < count; ++n) {
            threads_.emplace_back([this, n, seed] { receiver_thread(boxes_, n, seed + n, stop_)(); });
        }
    }
    ~receivers() { finish(); }
    receivers(const receivers&) = delete;
    receivers& operator=(const receivers&) = delete;

    void put(std::size_t which, share s) { boxes_[which % boxes_.size()]->put(std::move(s)); }
    [[nodiscard]] bool behind(std::size_t which) { return boxes_[which % boxes_.size()]->depth() > 30; }

    void finish() {
        stop_.store(true, std::memory_order_release);
        for (std::thread& t : threads_) {
            t.join();
        }
        threads_.clear();
        boxes_.clear(); // drops what somebody forwarded to a thread that had ended
    }

  private:
    std::atomic<bool> stop_{false};
    std::vector<std::unique_ptr<mailbox>> boxes_;
    std::vector<std::thread> threads_;
};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int rounds = 6'000;
#else
constexpr int rounds = 25'000;
#endif

using sharing_stress = memory_test;

/// An owner's work: shares, drains, frees and makes objects by chance.
class owner_work {
  public:
    explicit owner_work(std::uint64_t seed) : chance_(seed) {}

    void round(receivers& to) {
        const std::size_t which = chance_.roll(objects_.size());
        if (objects_[which] == nullptr) {
            objects_[which] = self_.make(4'000 + chance_.roll(200'000), next_tag_++);
            ASSERT_NE(objects_[which], nullptr);
        }
        const std::size_t target = chance_.roll(64);
        while (to.behind(target)) {
            self_.drain();
            std::this_thread::yield();
        }
        to.put(target, self_.send(*objects_[which]));
        if (chance_.once_in(10)) {
            ASSERT_EQ(first_difference(*objects_[which], self_.base(*objects_[which])), 0U);
            self_.drop(*std::exchange(objects_[which], nullptr));
        }
        if (chance_.once_in(4)) {
            self_.drain();
        }
    }

    /// Everybody else is done: what is shared must come back.
    void collect() {
        for (slot*& s : objects_) {
            if (s != nullptr) {
                self_.drop(*std::exchange(s, nullptr));
            }
        }
        self_.drain();
    }

    [[nodiscard]] std::uint64_t keepers_begun() const { return self_.keepers_begun; }
    void die() { self_.die(); }

  private:
    actor self_;
    dice chance_;
    std::array<slot*, 8> objects_{};
    std::uint64_t next_tag_ = 1;
};

TEST_F(sharing_stress, every_period_ends_once_and_every_release_is_run) {
    const std::uint64_t seed = test_seed();
    const std::uint64_t ended = keepers_ended.load();
    owner_work first(seed);
    owner_work second(seed + 1);
    receivers others(3, seed + 2);
    const auto work = [&others](owner_work& owner) {
        for (int n = 0; n < rounds && !testing::Test::HasFailure(); ++n) {
            owner.round(others);
        }
    };
    std::thread beside([&] { work(second); });
    work(first);
    beside.join();
    others.finish();
    first.collect();
    second.collect();
    EXPECT_EQ(keepers_ended.load() - ended, first.keepers_begun() + second.keepers_begun());
    EXPECT_GT(first.keepers_begun(), 100U);
}

TEST_F(sharing_stress, payloads_survive_owners_that_die_while_others_hold_them) {
    const std::uint64_t seed = test_seed();
    dice chance(seed);
    receivers others(3, seed + 1);
    constexpr int owners = rounds / 60;
    for (int n = 0; n < owners && !testing::Test::HasFailure(); ++n) {
        // The next one gets the same window, addresses that are free again, and writes there at once.
        owner_work owner(seed + 100 + static_cast<std::uint64_t>(n));
        for (std::size_t left = 1 + chance.roll(40); left > 0; --left) {
            owner.round(others);
        }
        owner.die();
    }
}

TEST_F(sharing_stress, receivers_that_die_with_their_twins_give_back_what_they_held) {
    const std::uint64_t seed = test_seed();
    owner_work owner(seed);
    for (int n = 0; n < 25; ++n) {
        receivers others(2, seed + 10 * static_cast<std::uint64_t>(n));
        for (int left = 0; left < rounds / 100; ++left) {
            owner.round(others);
        }
    }
    owner.collect();
}

} // namespace
} // namespace isthmus::core::test

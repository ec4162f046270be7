/// Posted calls: run once or ended otherwise, in order, and nobody waits for ever (P1 to P3).

#include "channel_fixture.hpp"
#include "memory_fixture.hpp"

#include "core/death_notice.hpp"
#include "core/posted_call.hpp"
#include "core/registry.hpp"
#include "core/stats.hpp"

#include <atomic>
#include <functional>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

struct call_book {
    std::atomic<int> performed{0};
    std::atomic<int> discarded{0};
    std::atomic<int> destroyed{0};
    std::vector<int> order; ///< by the server alone
};

class test_call final : public posted_call {
  public:
    test_call(interpreter_ref to, call_book& book, int number = 0)
        : posted_call(std::move(to)), book_(book), number_(number) {}
    ~test_call() override { book_.destroyed.fetch_add(1); }
    std::function<void()> body;

  private:
    void perform(interpreter&) override {
        book_.order.push_back(number_);
        book_.performed.fetch_add(1);
        book_.performed.notify_all();
        if (body) {
            body();
        }
    }
    void discard() noexcept override { book_.discarded.fetch_add(1); }

    call_book& book_;
    int number_;
};

class posted_calls : public ::testing::Test {
  protected:
    void SetUp() override { uneven_ = uneven(); }
    void TearDown() override {
        EXPECT_EQ(uneven(), uneven_) << "P1: as many ended as were posted";
        helper_of(*owner).stop();
    }
    static std::int64_t uneven() {
        return static_cast<std::int64_t>(statistics::read(counter::calls_posted)) -
               static_cast<std::int64_t>(statistics::read(counter::calls_ended));
    }
    static interpreter_ref make_owner() {
        auto made = std::make_shared<interpreter>();
        made->side = party::create();
        made->death = death_notice::create();
        return made;
    }
    /// What a helper does, without an interpreter to enter.
    void serve() {
        ASSERT_TRUE(helper_of(*owner).start(
            [](void* of) {
                run_errands(*static_cast<interpreter*>(of));
                return true;
            },
            owner.get()));
    }
    std::shared_ptr<test_call> make(int number = 0) {
        return std::make_shared<test_call>(owner, book, number);
    }
    outcome wait(posted_call& call, futex::deadline until = std::nullopt) {
        wait_site site;
        return call.wait(*poster, until, site);
    }

    interpreter_ref owner = make_owner();
    std::shared_ptr<party> poster = party::create();
    call_book book;

  private:
    std::int64_t uneven_ = 0;
};

using phase = posted_call::phase;

TEST_F(posted_calls, one_is_run_and_waited_for) {
    serve();
    const auto call = make();
    EXPECT_EQ(call->now(), phase::waiting);
    ASSERT_TRUE(post_call(call));
    EXPECT_EQ(wait(*call), outcome::ok);
    EXPECT_EQ(call->now(), phase::done);
    EXPECT_FALSE(call->cancel());
    EXPECT_EQ(book.performed.load(), 1);
}

TEST_F(posted_calls, it_does_not_wait_for_the_grace_of_releases) {
    struct quiet final : errand {
        void run() override {}
        void abandon() noexcept override {}
    } release;
    serve();
    futex::nanoseconds best = helper::grace;
    for (int round = 0; round < 200 && best >= helper::grace / 2; ++round) {
        ASSERT_TRUE(post(*owner, release)); // begins a grace
        const auto call = make();
        const futex::nanoseconds start = futex::now();
        ASSERT_TRUE(post_call(call));
        ASSERT_EQ(wait(*call), outcome::ok);
        best = std::min(best, futex::now() - start);
        while (!owner->errands.empty()) {
            std::this_thread::yield();
        }
    }
    EXPECT_LT(best, helper::grace / 2) << "a busy machine may be slow, but not 200 times";
}

TEST_F(posted_calls, dropped_ones_run_and_leave_nothing) {
    for (int n = 0; n < 10; ++n) {
        ASSERT_TRUE(post_call(make(n)));
    }
    EXPECT_EQ(book.destroyed.load(), 0);
    EXPECT_EQ(owner->errands.depth(), 10U);
    run_errands(*owner);
    EXPECT_EQ(book.performed.load(), 10);
    EXPECT_EQ(book.destroyed.load(), 10);
    EXPECT_EQ(owner->errands.depth(), 0U);
}

TEST_F(posted_calls, the_batch_that_is_run_counts_as_waiting) {
    std::vector<std::size_t> depths;
    for (int n = 0; n < 3; ++n) {
        const auto call = make(n);
        call->body = [&] {
            depths.push_back(owner->errands.depth());
            EXPECT_EQ(owner->errands.empty(), depths.size() == 3);
        };
        ASSERT_TRUE(post_call(call));
    }
    run_errands(*owner);
    EXPECT_EQ(depths, (std::vector<std::size_t>{2, 1, 0}));
}

TEST_F(posted_calls, a_cancelled_one_never_runs) {
    const auto call = make();
    ASSERT_TRUE(post_call(call));
    EXPECT_TRUE(call->cancel());
    EXPECT_TRUE(call->cancel());
    EXPECT_EQ(call->now(), phase::cancelled);
    EXPECT_EQ(wait(*call), outcome::ok);
    run_errands(*owner);
    EXPECT_EQ(book.performed.load(), 0);
    EXPECT_EQ(book.discarded.load(), 1);
}

TEST_F(posted_calls, after_the_end_they_fail) {
    const auto early = make();
    ASSERT_TRUE(post_call(early));
    owner->calls.shut();
    const auto late = make();
    EXPECT_FALSE(post_call(late));
    run_errands(*owner); // as the one who closes does
    EXPECT_EQ(early->now(), phase::failed);
    EXPECT_EQ(late->now(), phase::failed);
    EXPECT_EQ(wait(*late), outcome::ok);
    end_errands(*owner);
    EXPECT_FALSE(post_call(make()));
    EXPECT_EQ(book.performed.load(), 0);
    EXPECT_EQ(book.discarded.load(), 3);
}

TEST_F(posted_calls, those_left_when_it_is_gone_fail) {
    std::vector<std::shared_ptr<test_call>> calls;
    for (int n = 0; n < 5; ++n) {
        calls.push_back(make(n));
        ASSERT_TRUE(post_call(calls.back()));
    }
    calls[0]->body = [&] { end_errands(*owner); }; // in the middle of a batch
    run_errands(*owner);
    EXPECT_EQ(calls[0]->now(), phase::done);
    for (std::size_t n = 1; n < calls.size(); ++n) {
        EXPECT_EQ(calls[n]->now(), phase::failed);
    }
    EXPECT_EQ(book.discarded.load(), 4);
}

TEST_F(posted_calls, waits_end_in_time_and_with_their_party) {
    const auto call = make();
    ASSERT_TRUE(post_call(call));
    EXPECT_EQ(wait(*call, in_microseconds(100)), outcome::timed_out);
    std::thread waits([&] { EXPECT_EQ(wait(*call), outcome::party_closing); });
    while (poster->waiters() == 0) {
        std::this_thread::yield();
    }
    poster->begin_close();
    waits.join();
    run_errands(*owner);
}

TEST_F(posted_calls, every_end_wakes_who_waits) {
    const auto cancelled = make();
    const auto failed = make();
    const auto done = make();
    for (const auto& call : {done, cancelled, failed}) {
        ASSERT_TRUE(post_call(call));
    }
    std::vector<std::thread> threads;
    for (const auto& call : {done, cancelled, failed}) {
        threads.emplace_back([&, call] { EXPECT_EQ(wait(*call, never_expected()), outcome::ok); });
    }
    while (poster->waiters() < 3) {
        std::this_thread::yield();
    }
    EXPECT_TRUE(cancelled->cancel());
    owner->errands.next()->run();
    end_errands(*owner);
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(done->now(), phase::done);
    EXPECT_EQ(failed->now(), phase::failed);
}

TEST_F(posted_calls, cancelling_all_while_they_run) {
    constexpr int rounds = 100;
    constexpr int each = 200;
    for (int round = 0; round < rounds; ++round) {
        std::vector<std::shared_ptr<test_call>> calls;
        for (int n = 0; n < each; ++n) {
            calls.push_back(make(n));
            ASSERT_TRUE(post_call(calls.back()));
        }
        std::atomic<int> ready{0};
        const auto together = [&] {
            ready.fetch_add(1);
            while (ready.load() < 3) {
            }
        };
        const auto cancel_all = [&] {
            together();
            for (const auto& call : calls) {
                static_cast<void>(call->cancel());
            }
        };
        std::thread first(cancel_all);
        std::thread second(cancel_all);
        together();
        run_errands(*owner);
        first.join();
        second.join();
    }
    EXPECT_EQ(book.performed.load() + book.discarded.load(), rounds * each);
}

TEST_F(posted_calls, one_that_waits_for_its_own_interpreter_is_known) {
    const auto call = make();
    bool inside = false;
    call->body = [&] { inside = call->waits_for_itself(); };
    ASSERT_TRUE(post_call(call));
    EXPECT_FALSE(call->waits_for_itself());
    run_errands(*owner);
    EXPECT_TRUE(inside);
    EXPECT_FALSE(call->waits_for_itself());
}

TEST_F(posted_calls, each_is_cancelled_or_run_and_all_waits_end) {
    constexpr int rounds = 2'000;
    serve();
    for (int round = 0; round < rounds; ++round) {
        const auto call = make();
        ASSERT_TRUE(post_call(call));
        std::atomic<bool> cancelled{false};
        std::thread cancels([&] { cancelled = call->cancel(); });
        ASSERT_EQ(wait(*call), outcome::ok);
        cancels.join();
        EXPECT_EQ(cancelled.load(), call->now() == phase::cancelled);
        EXPECT_NE(cancelled.load(), call->now() == phase::done);
    }
    helper_of(*owner).stop();
    run_errands(*owner);
    EXPECT_EQ(book.performed.load() + book.discarded.load(), rounds);
}

TEST_F(posted_calls, those_of_one_thread_begin_in_order) {
    constexpr int posters = 3;
    constexpr int each = 5'000;
    serve();
    std::vector<std::thread> threads;
    for (int p = 0; p < posters; ++p) {
        threads.emplace_back([&, p] {
            for (int n = 0; n < each; ++n) {
                ASSERT_TRUE(post_call(make(p * each + n)));
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    for (int seen = book.performed.load(); seen < posters * each; seen = book.performed.load()) {
        book.performed.wait(seen);
    }
    helper_of(*owner).stop();
    std::vector<int> next(posters, 0);
    for (const int number : book.order) {
        const auto p = static_cast<std::size_t>(number / each);
        EXPECT_EQ(number % each, next[p]++);
    }
}

TEST_F(posted_calls, closing_at_any_moment_ends_all) {
    for (int round = 0; round < 300; ++round) {
        owner = make_owner();
        serve();
        std::vector<std::shared_ptr<test_call>> calls;
        for (int n = 0; n < 20; ++n) {
            calls.push_back(make());
        }
        std::thread posts([&] {
            for (const auto& call : calls) {
                static_cast<void>(post_call(call));
            }
        });
        std::this_thread::yield();
        owner->calls.shut();
        owner->calls.wait_until_empty();
        helper_of(*owner).stop();
        run_errands(*owner);
        end_errands(*owner);
        posts.join();
        for (const auto& call : calls) {
            EXPECT_EQ(wait(*call), outcome::ok);
            EXPECT_TRUE(call->now() == phase::done || call->now() == phase::failed);
        }
    }
}

TEST_F(posted_calls, who_closes_is_told_once_nobody_is_inside) {
    std::atomic<bool> go{false};
    const auto call = make();
    call->body = [&] { go.wait(false); };
    serve();
    ASSERT_TRUE(post_call(call));
    book.performed.wait(0);
    owner->calls.shut();
    EXPECT_FALSE(owner->calls_over.given());
    go.store(true);
    go.notify_all();
    wait_site site;
    spin_budget spinning;
    EXPECT_EQ(owner->calls_over.wait(*poster, never_expected(), site, spinning), outcome::ok);
    EXPECT_EQ(call->now(), phase::done);
}

TEST_F(posted_calls, a_forked_child_runs_none_of_its_parents) {
    const auto waiting = make();
    const auto begun = make();
    const auto over = make();
    ASSERT_TRUE(post_call(over));
    run_errands(*owner);
    std::atomic<bool> go{false};
    begun->body = [&] { go.wait(false); };
    ASSERT_TRUE(post_call(begun));
    ASSERT_TRUE(post_call(waiting));
    std::thread server([&] { run_errands(*owner); });
    while (begun->now() != phase::running) {
        std::this_thread::yield();
    }
    EXPECT_EQ(in_child([&] {
                  EXPECT_EQ(waiting->now(), phase::failed);
                  EXPECT_EQ(begun->now(), phase::failed);
                  EXPECT_EQ(over->now(), phase::done);
                  EXPECT_EQ(wait(*waiting), outcome::ok);
                  EXPECT_EQ(wait(*begun), outcome::ok);
                  EXPECT_FALSE(waiting->cancel());
                  const int before = book.performed.load();
                  run_errands(*owner);
                  EXPECT_EQ(book.performed.load(), before);
                  EXPECT_EQ(waiting->now(), phase::failed);
              }),
              0);
    go = true;
    go.notify_all();
    server.join();
    EXPECT_EQ(waiting->now(), phase::done);
}

} // namespace
} // namespace isthmus::core::test

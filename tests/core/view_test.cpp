/// Loans and views: the exporter gets its buffer back once, or is counted as an orphan; memory of the arena
/// outlives its owner; errands reach whoever runs them (core/view.hpp, core/errand.hpp).

#include "view_fixture.hpp"

#include "core/errand.hpp"
#include "core/registry.hpp"
#include "core/view.hpp"

#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

TEST_F(views, the_last_reference_posts_one_release_to_the_owner) {
    const auto owner = std::make_shared<interpreter>();
    loan_ref first = lend(owner);
    loan_ref second = first;
    loan_ref third = std::move(first);
    EXPECT_EQ(owner->loans.load(), 1U);
    second.reset();
    EXPECT_TRUE(owner->errands.empty());
    third.reset();
    EXPECT_EQ(owner->errands.depth(), 1U);
    EXPECT_EQ(book.given_back.load(), 0) << "only in its owner";
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 1);
    EXPECT_EQ(book.destroyed.load(), 1);
    EXPECT_EQ(owner->loans.load(), 0U);
    end_errands(*owner);
    EXPECT_EQ(orphaned(), 0U);
}

TEST_F(views, a_last_reference_that_ends_at_home_releases_at_once) {
    const auto owner = std::make_shared<interpreter>();
    loan_ref here = lend(owner, true);
    loan_ref there = here;
    here.reset_here();
    EXPECT_EQ(book.given_back.load(), 0);
    there.reset_here();
    EXPECT_EQ(book.given_back.load(), 1);
    EXPECT_TRUE(owner->errands.empty());
}

TEST_F(views, a_last_reference_that_ends_elsewhere_posts_where_user_code_may_run_too) {
    const auto owner = std::make_shared<interpreter>();
    loan_ref held = lend(owner);
    held.reset_here();
    EXPECT_EQ(book.given_back.load(), 0);
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 1);
    end_errands(*owner);
}

TEST_F(views, a_loan_of_the_hosts_ends_where_its_last_reference_does) {
    const std::uint64_t posted = statistics::read(counter::releases_posted);
    const std::uint64_t run = statistics::read(counter::releases_run);
    loan_ref held = lend(nullptr);
    EXPECT_EQ(held.get()->owner(), nullptr);
    loan_ref other = held;
    held.reset_here();
    EXPECT_EQ(book.destroyed.load(), 0);
    std::thread([&] { other.reset(); }).join();
    EXPECT_EQ(book.destroyed.load(), 1);
    EXPECT_EQ(book.given_back.load(), 0);
    EXPECT_EQ(orphaned(), 0U);
    EXPECT_EQ(statistics::read(counter::releases_posted) - posted, 1U);
    EXPECT_EQ(statistics::read(counter::releases_run) - run, 1U);
}

TEST_F(views, assigning_drops_what_was_held) {
    const auto owner = std::make_shared<interpreter>();
    loan_ref held = lend(owner);
    const loan_ref same = held;
    held = same;
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 0);
    held = lend(owner);
    held = loan_ref();
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 1);
    EXPECT_EQ(same.get()->owner(), owner);
    end_errands(*owner);
}

TEST_F(views, what_the_owner_left_behind_is_an_orphan_and_counted_once) {
    const auto owner = std::make_shared<interpreter>();
    loan_ref kept = lend(owner);
    loan_ref waiting = lend(owner);
    loan_ref released = lend(owner);
    released.reset();
    run_errands(*owner);
    waiting.reset();
    end_errands(*owner);
    EXPECT_EQ(orphaned(), 2U) << "one still held, one whose release was not run";
    EXPECT_EQ(book.destroyed.load(), 2);
    end_errands(*owner);
    kept.reset();
    EXPECT_EQ(orphaned(), 2U);
    EXPECT_EQ(book.destroyed.load(), 3);
    EXPECT_EQ(book.given_back.load(), 1) << "an orphan's exporter is left alone";
}

TEST_F(views, a_loan_that_begins_too_late_is_an_orphan) {
    const auto owner = std::make_shared<interpreter>();
    end_errands(*owner);
    loan_ref late = lend(owner, true);
    EXPECT_EQ(orphaned(), 1U);
    late.reset_here();
    EXPECT_EQ(orphaned(), 1U);
    EXPECT_EQ(book.destroyed.load(), 1);
    EXPECT_EQ(book.given_back.load(), 0);
}

TEST_F(views, a_loan_keeps_its_owners_record) {
    auto owner = std::make_shared<interpreter>();
    const std::weak_ptr<interpreter> watched = owner;
    loan_ref held = lend(owner);
    end_errands(*owner);
    owner.reset();
    EXPECT_FALSE(watched.expired());
    held.reset();
    EXPECT_TRUE(watched.expired());
}

TEST_F(views, errands_posted_by_errands_are_run_too) {
    struct again final : errand {
        explicit again(interpreter& i) : to(i) {}
        void run() override {
            if (++runs < 5) {
                EXPECT_TRUE(post(to, *this));
            }
        }
        void abandon() noexcept override { ++abandoned; }
        interpreter& to;
        int runs = 0;
        int abandoned = 0;
    };
    interpreter here;
    again work(here);
    EXPECT_TRUE(post(here, work));
    run_errands(here);
    EXPECT_EQ(work.runs, 5);
    work.runs = 0;
    EXPECT_TRUE(post(here, work));
    end_errands(here);
    EXPECT_EQ(work.abandoned, 1);
    EXPECT_FALSE(post(here, work));
}

TEST_F(views, a_post_wakes_the_helper_with_and_without_a_window) {
    for (const bool windowed : {true, false}) {
        const auto owner = std::make_shared<interpreter>();
        owner->own_gil = true;
        owner->view = windowed ? memory().take_window() : nullptr;
        helper& service = helper_of(*owner);
        EXPECT_EQ(&service == &owner->service, !windowed);
        const auto serve = [](void* who) {
            run_errands(*static_cast<interpreter*>(who));
            return true;
        };
        ASSERT_TRUE(service.start(serve, owner.get()));
        for (int n = 1; n <= 3; ++n) {
            const int before = book.given_back.load();
            std::thread([held = lend(owner)] {}).join();
            book.given_back.wait(before);
        }
        service.stop();
        end_errands(*owner);
        if (windowed) {
            memory().owner_gone(*owner->view);
        }
    }
}

TEST_F(views, a_helper_does_not_wait_for_itself) {
    struct self_stopping {
        helper service;
        std::atomic<bool> done{false};
    } state;
    ASSERT_TRUE(state.service.start(
        [](void* self) {
            auto& s = *static_cast<self_stopping*>(self);
            s.service.stop();
            s.done.store(true);
            s.done.notify_all();
            return true;
        },
        &state));
    state.service.notify();
    state.done.wait(false);
    EXPECT_TRUE(state.service.running());
    state.service.stop();
}

TEST_F(views, an_interpreter_that_is_gone_drops_what_it_received) {
    const auto owner = std::make_shared<interpreter>();
    int state = 0;
    const interpreter_ref receiver = interpreters().attach(&state, 71, true, false, false);
    auto* const first = new received_view(receiver, view{{}, lend(owner)});
    auto* const second = new received_view(receiver, view{{}, lend(owner)});
    auto* const third = new received_view(receiver, view{{}, lend(owner)});
    EXPECT_EQ(second->of()->owner(), owner);
    EXPECT_EQ(first->by(), receiver);
    delete second; // in the middle of the list
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 1);
    EXPECT_EQ(third->layout().item_size, 1);
    interpreters().gone(receiver); // the other two were never freed
    EXPECT_EQ(receiver->received, nullptr);
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 3);
    end_errands(*owner);
}

TEST_F(views, an_orphan_keeps_the_received_views_it_may_show_and_no_others) {
    const auto owner = std::make_shared<interpreter>();
    int state = 0;
    interpreter_ref middle = interpreters().attach(&state, 72, true, false, false);
    std::array<std::byte, 100> memory{};
    const auto part = [&](std::size_t at, std::ptrdiff_t items, std::ptrdiff_t stride) {
        buffer_layout layout;
        layout.data = memory.data() + at;
        layout.dimensions = 1;
        layout.extents = {items, stride};
        return layout;
    };
    const auto lend_part = [&](const buffer_layout& layout) {
        auto made = std::make_unique<test_loan>(middle, book);
        made->covers(memory_range::of(layout));
        return loan_ref::begin(std::move(made));
    };
    // Never freed by the interpreter: [0, 10), [10, 20), every second of [40, 50), and backwards [90, 80).
    new received_view(middle, view{part(0, 10, 1), lend(owner)});
    new received_view(middle, view{part(10, 10, 1), lend(owner)});
    new received_view(middle, view{part(40, 5, 2), lend(owner)});
    new received_view(middle, view{part(89, 10, -1), lend(owner)});
    new received_view(middle, view{part(70, 0, 1), lend(owner)});
    loan_ref first = lend_part(part(9, 1, 1));
    loan_ref again = lend_part(part(5, 2, 1));
    loan_ref last = lend_part(part(48, 33, 1));
    interpreters().gone(middle);
    EXPECT_EQ(orphaned(), 3U);
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 2) << "[10, 20) and what is empty are shown by none";
    first.reset();
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 2);
    again.reset();
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 3);
    const std::weak_ptr<interpreter> watched = middle;
    middle.reset();
    EXPECT_FALSE(watched.expired());
    last.reset();
    run_errands(*owner);
    EXPECT_EQ(book.given_back.load(), 5);
    EXPECT_TRUE(watched.expired());
    end_errands(*owner);
}

TEST_F(views, a_view_at_home_in_an_interpreter_that_is_gone_ends) {
    int state = 0;
    interpreter_ref owner = interpreters().attach(&state, 73, true, false, false);
    buffer_layout layout;
    std::byte some{};
    layout.data = &some;
    auto made = std::make_unique<test_loan>(owner, book);
    made->covers(memory_range::of(layout));
    new received_view(owner, view{layout, loan_ref::begin(std::move(made))});
    interpreters().gone(owner);
    EXPECT_EQ(book.destroyed.load(), 1);
    EXPECT_EQ(book.given_back.load(), 0);
    EXPECT_EQ(orphaned(), 1U);
}

} // namespace
} // namespace isthmus::core::test

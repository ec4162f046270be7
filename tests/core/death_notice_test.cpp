/// The end of an interpreter as something to wait for.

#include "channel_fixture.hpp"
#include "memory_fixture.hpp"

#include "core/channel.hpp"
#include "core/death_notice.hpp"
#include "core/select.hpp"

#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

bool is_readable(int descriptor) {
    pollfd asked{descriptor, POLLIN, 0};
    return poll(&asked, 1, 0) == 1;
}

class death_notices : public ::testing::Test {
  protected:
    outcome wait(futex::deadline until = std::nullopt) {
        wait_site site;
        return note->wait(*a, until, site);
    }
    std::shared_ptr<death_notice> note = death_notice::create();
    std::shared_ptr<party> a = party::create();
    std::shared_ptr<party> b = party::create();
};

TEST_F(death_notices, wakes_all_and_stays_given) {
    EXPECT_FALSE(note->given());
    EXPECT_EQ(wait(in_microseconds(50)), outcome::timed_out);
    std::vector<std::thread> threads;
    for (int n = 0; n < 4; ++n) {
        threads.emplace_back([&] { EXPECT_EQ(wait(), outcome::ok); });
    }
    while (a->waiters() < 4) {
        std::this_thread::yield();
    }
    note->give();
    note->give();
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_TRUE(note->given());
    EXPECT_EQ(wait(), outcome::ok);
}

TEST_F(death_notices, a_wait_ends_with_its_party) {
    std::thread waits([&] { EXPECT_EQ(wait(), outcome::party_closing); });
    while (a->waiters() == 0) {
        std::this_thread::yield();
    }
    a->begin_close();
    waits.join();
}

TEST_F(death_notices, is_a_case_of_select) {
    const auto other = channel::create(std::nullopt);
    other->add_holder(end::recv, *a);
    message received;
    message nothing;
    const std::array cases = {select_case{other.get(), end::recv, &received},
                              select_case{note.get(), end::recv, &nothing}};
    EXPECT_EQ(try_select(*a, cases).how, outcome::would_block);
    std::thread gives([&] {
        while (a->waiters() == 0) {
            std::this_thread::yield();
        }
        note->give();
    });
    wait_site site;
    spin_budget spinning;
    const selected done = select(*a, cases, std::nullopt, site, spinning);
    gives.join();
    EXPECT_EQ(done.how, outcome::ok);
    EXPECT_EQ(done.index, 1U);
    EXPECT_TRUE(nothing.empty());
    EXPECT_EQ(try_select(*a, std::span(cases).subspan(1)).how, outcome::ok) << "again and again";
    other->drop_holder(end::recv, *a);
}

TEST_F(death_notices, descriptors_become_readable_and_last_as_long_as_their_holders) {
    note->add_holder(end::recv, *a);
    note->add_holder(end::recv, *b);
    const int of_a = note->watch(end::recv, *a);
    const int of_b = note->watch(end::recv, *b);
    EXPECT_NE(of_a, of_b);
    EXPECT_FALSE(is_readable(of_a));
    note->give();
    EXPECT_TRUE(is_readable(of_a));
    EXPECT_TRUE(is_readable(of_b));
    note->drop_holder(end::recv, *a);
    EXPECT_EQ(fcntl(of_a, F_GETFD), -1) << "closed with the last holder of its party";
    EXPECT_TRUE(is_readable(of_b));
    party_died_everywhere(*b);
    EXPECT_EQ(fcntl(of_b, F_GETFD), -1) << "and with its party";
}

TEST_F(death_notices, giving_meets_waiting_at_any_moment) {
    for (int round = 0; round < 3'000; ++round) {
        const auto fresh = death_notice::create();
        std::thread waits([&] {
            wait_site site;
            EXPECT_EQ(fresh->wait(*a, std::nullopt, site), outcome::ok);
        });
        fresh->give();
        waits.join();
    }
}

TEST_F(death_notices, a_forked_child_finds_nobody_waiting) {
    std::thread waits([&] { EXPECT_EQ(wait(), outcome::ok); });
    while (a->waiters() == 0) {
        std::this_thread::yield();
    }
    EXPECT_EQ(in_child([&] {
                  EXPECT_EQ(wait(in_microseconds(50)), outcome::timed_out);
                  note->give();
                  EXPECT_EQ(wait(), outcome::ok);
              }),
              0);
    EXPECT_FALSE(note->given());
    note->give();
    waits.join();
}

} // namespace
} // namespace isthmus::core::test

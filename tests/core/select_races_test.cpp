/// What happens between a select's tries and its sleep, made to happen there: a conduit whose parking runs
/// the test's script stands among the cases.
#include "channel_fixture.hpp"

#include "core/cycles.hpp"
#include "core/queue.hpp"
#include "core/select.hpp"

#include <array>
#include <functional>

namespace isthmus::core::test {
namespace {

/// Never ready. Runs its script when a select parks in it, on the selecting thread, under no lock.
class scripted final : public conduit {
  public:
    explicit scripted(std::function<void()> script) : script_(std::move(script)) {}

    outcome attempt(end, party&, message&) override { return outcome::would_block; }
    outcome park(end, party&, parked&) override {
        ++times_parked;
        script_();
        return outcome::would_block;
    }
    void unpark(end, parked&) noexcept override {}
    void add_holder(end, party&) override {}
    void drop_holder(end, party&) noexcept override {}
    void add_in_flight(end) noexcept override {}
    void drop_in_flight(end) noexcept override {}
    void party_died(party&) noexcept override {}
    claims survey() override { return {}; }
    void abandon() noexcept override {}
    void lock_all() noexcept override {}
    void unlock_all() noexcept override {}

    int times_parked = 0;

  private:
    void under_locks(locked_body) override {}
    void forget_parked_under_locks() noexcept override {}
    bool ready_under_locks(end, party_id) noexcept override { return false; }

    std::function<void()> script_;
};

class select_races : public ::testing::Test {
  protected:
    static futex::deadline soon() { return in_microseconds(60'000'000); } ///< reached only by what is broken

    std::shared_ptr<channel> open(std::optional<std::size_t> capacity) {
        auto made = channel::create(capacity);
        made->add_holder(end::send, *a);
        made->add_holder(end::recv, *b);
        return made;
    }
    void send(conduit& to, std::uint64_t n) {
        message m = numbered(n);
        EXPECT_EQ(to.attempt(end::send, *a, m), outcome::ok);
    }
    template <std::size_t N> selected wait(const std::array<select_case, N>& cases) {
        wait_site site;
        spin_budget spinning;
        return select(*b, cases, soon(), site, spinning);
    }

    std::shared_ptr<party> a = party::create();
    std::shared_ptr<party> b = party::create();
};

TEST_F(select_races, a_message_that_comes_before_its_channel_is_parked_in_ends_the_wait) {
    const auto c = open(std::nullopt);
    const auto hook = std::make_shared<scripted>([&] { send(*c, 5); });
    message none;
    message in;
    const selected done = wait<2>({select_case{hook.get(), end::recv, &none}, {c.get(), end::recv, &in}});
    EXPECT_EQ(done.how, outcome::ok) << "parked although a message lay there";
    EXPECT_EQ(done.index, 1U);
    EXPECT_EQ(number_of(in), 5U);
}

TEST_F(select_races, a_message_that_comes_before_its_queue_is_parked_in_ends_the_wait) {
    const auto q = queue::create(0, unbound::replace);
    const auto hook = std::make_shared<scripted>([&] { send(*q, 6); });
    message none;
    message in;
    const selected done = wait<2>({select_case{hook.get(), end::recv, &none}, {q.get(), end::recv, &in}});
    EXPECT_EQ(done.how, outcome::ok) << "parked although a message lay there";
    EXPECT_EQ(number_of(in), 6U);
}

TEST_F(select_races, room_that_comes_before_its_queue_is_parked_in_ends_the_wait) {
    const auto q = queue::create(1, unbound::replace);
    send(*q, 1);
    const auto hook = std::make_shared<scripted>([&] {
        message taken;
        EXPECT_EQ(q->attempt(end::recv, *a, taken), outcome::ok);
    });
    message none;
    message out = numbered(2);
    const selected done = wait<2>({select_case{hook.get(), end::recv, &none}, {q.get(), end::send, &out}});
    EXPECT_EQ(done.how, outcome::ok) << "parked although there was room";
    EXPECT_TRUE(out.empty());
}

TEST_F(select_races, of_two_messages_at_once_one_is_received_and_the_other_stays) {
    for (const bool first_is_channel : {true, false}) {
        const auto c = open(std::nullopt);
        const auto d = open(std::nullopt);
        const auto q = queue::create(0, unbound::replace);
        conduit& later = first_is_channel ? static_cast<conduit&>(*q) : *d;
        const auto hook = std::make_shared<scripted>([&] {
            send(*c, 5);
            send(later, 6); // its getter is parked here, too, but has been served
        });
        message first;
        message second;
        message none;
        const selected done = wait<3>({select_case{c.get(), end::recv, &first},
                                       {&later, end::recv, &second},
                                       {hook.get(), end::recv, &none}});
        EXPECT_EQ(done.how, outcome::ok);
        EXPECT_EQ(done.index, 0U);
        EXPECT_EQ(number_of(first), 5U);
        EXPECT_TRUE(second.empty()) << "claimed twice";
        message left;
        ASSERT_EQ(later.attempt(end::recv, *b, left), outcome::ok) << "lost";
        EXPECT_EQ(number_of(left), 6U);
        EXPECT_EQ(hook->times_parked, 1);
    }
}

TEST_F(select_races, nothing_stays_parked_after_the_wait) {
    const auto c = open(std::nullopt);
    const auto q = queue::create(0, unbound::replace);
    const auto hook = std::make_shared<scripted>([&] { send(*c, 5); });
    message in;
    message from_queue;
    message none;
    const selected done = wait<3>({select_case{c.get(), end::recv, &in},
                                   {q.get(), end::recv, &from_queue},
                                   {hook.get(), end::recv, &none}});
    EXPECT_EQ(done.how, outcome::ok);
    EXPECT_EQ(q->parked_getters(), 0U);
    EXPECT_EQ(c->parked_receivers(), 0U);
}

TEST_F(select_races, poison_reaches_a_select_that_is_parked) {
    for (const end which : {end::recv, end::send}) {
        const auto c = open(0);
        c->add_holder(end::send, *b);
        const auto hook =
            std::make_shared<scripted>([&] { EXPECT_EQ(c->poison(end::send, *a, "reason"), outcome::ok); });
        message cargo = which == end::send ? numbered(1) : message{};
        message none;
        const selected done = wait<2>({select_case{c.get(), which, &cargo}, {hook.get(), end::recv, &none}});
        EXPECT_EQ(done.how, outcome::poisoned);
        EXPECT_EQ(done.index, 0U);
        EXPECT_EQ(cargo.empty(), which == end::recv);
    }
}

TEST_F(select_races, both_ends_of_one_channel_sleep_in_one_select) {
    const auto c = open(0);
    c->add_holder(end::send, *b);
    const std::jthread waiting([&] {
        message in;
        message out = numbered(1);
        const selected done = wait<2>({select_case{c.get(), end::send, &out}, {c.get(), end::recv, &in}});
        EXPECT_EQ(done.how, outcome::ok);
        EXPECT_EQ(number_of(in), 2U);
    });
    // A select that takes its own offer for somebody else's never parks the second case: it tries for ever.
    const futex::deadline late = soon();
    while ((c->parked_senders() != 1 || c->parked_receivers() != 1) && futex::now() < *late) {
        std::this_thread::yield();
    }
    EXPECT_EQ(c->parked_senders(), 1U);
    EXPECT_EQ(c->parked_receivers(), 1U);
    send(*c, 2);
}

/// Tells the survey's progress to the test: asked for what it carries while its channel is surveyed.
struct watching_attachment : attachment {
    explicit watching_attachment(std::function<void()> body) : asked(std::move(body)) {}
    [[nodiscard]] conduit* carries() const noexcept override {
        asked();
        return nullptr;
    }
    std::function<void()> asked;
};

TEST_F(select_races, a_channel_that_is_taken_up_while_garbage_is_sought_is_none) {
    std::array<std::shared_ptr<channel>, 2> pair = {open(std::nullopt), open(std::nullopt)};
    std::atomic<int> alive{0};
    int surveyed = 0; ///< once both can be garbage
    bool both = false;
    std::shared_ptr<conduit> taken_up;
    for (std::size_t i = 0; i < 2; ++i) {
        auto body = std::make_unique<parcel>();
        body->attachments.push_back(std::make_unique<travelling_end>(pair[1 - i], end::recv));
        body->attachments.push_back(std::make_unique<tracer>(alive));
        body->attachments.push_back(std::make_unique<watching_attachment>([&, other = pair[1 - i].get()] {
            // At the second one's turn somebody opens the first one, about which the survey has noted that
            // nobody holds it.
            if (both && ++surveyed == 2) {
                other->add_holder(end::recv, *b);
                taken_up = other->shared_from_this();
            }
        }));
        message m(9, std::move(body));
        ASSERT_EQ(pair[i]->try_send(*a, m), outcome::ok);
    }
    for (auto& each : pair) {
        each->drop_holder(end::send, *a);
    }
    pair[0]->drop_holder(end::recv, *b);
    channel& last = *pair[1];
    pair = {};
    both = true;
    last.drop_holder(end::recv, *b); // now only the two messages lead to them: a collection begins
    ASSERT_NE(taken_up, nullptr) << "no survey";
    EXPECT_EQ(alive, 2) << "collected what somebody holds";
    taken_up->drop_holder(end::recv, *b);
    taken_up.reset();
    collect_cycles();
    EXPECT_EQ(alive, 0);
}

TEST_F(select_races, claims_elsewhere_do_not_keep_garbage) {
    const auto elsewhere = open(std::nullopt);
    auto circle = open(std::nullopt);
    std::atomic<int> alive{0};
    auto body = std::make_unique<parcel>();
    body->attachments.push_back(std::make_unique<travelling_end>(circle, end::recv));
    body->attachments.push_back(std::make_unique<tracer>(alive));
    body->attachments.push_back(std::make_unique<watching_attachment>([&] {
        elsewhere->add_holder(end::recv, *a);
        elsewhere->drop_holder(end::recv, *a);
    }));
    message m(9, std::move(body));
    ASSERT_EQ(circle->try_send(*a, m), outcome::ok);
    circle->drop_holder(end::send, *a);
    circle->drop_holder(end::recv, *b);
    circle.reset();
    EXPECT_EQ(alive, 0);
}

} // namespace
} // namespace isthmus::core::test

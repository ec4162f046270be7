/// What a snapshot sees, beside everybody who uses what it looks at.
#include "channel_fixture.hpp"
#include "memory_fixture.hpp"

#include "core/json_writer.hpp"
#include "core/queue.hpp"
#include "core/registry.hpp"
#include "core/snapshot.hpp"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

const snapshot::channel_view* seen_channel(const snapshot& all, channel_id id) {
    const auto at = std::ranges::find(all.channels, id, &snapshot::channel_view::id);
    return at != all.channels.end() ? &*at : nullptr;
}

const snapshot::queue_view* seen_queue(const snapshot& all, queue_id id) {
    const auto at = std::ranges::find(all.queues, id, &snapshot::queue_view::id);
    return at != all.queues.end() ? &*at : nullptr;
}

using snapshots = ends;

TEST_F(snapshots, show_a_channel_as_it_is) {
    open(10);
    for (std::uint64_t n = 0; n < 4; ++n) {
        EXPECT_EQ(send(*a, n), outcome::ok);
    }
    EXPECT_EQ(recv(*b), got(0));
    const snapshot all = snapshot::take();
    const snapshot::channel_view* const seen = seen_channel(all, c->id());
    ASSERT_NE(seen, nullptr);
    EXPECT_EQ(seen->capacity, 10U);
    EXPECT_EQ(seen->seen.counts.sent, 4U);
    EXPECT_EQ(seen->seen.counts.received, 1U);
    EXPECT_EQ(seen->seen.counts.buffered, 3U);
    EXPECT_EQ(seen->seen.senders, std::vector{a->id()});
    EXPECT_EQ(seen->seen.receivers, std::vector{b->id()});
    EXPECT_FALSE(seen->seen.closed);
    EXPECT_EQ(c->poison(end::send, *a, "x"), outcome::ok);
    const snapshot later = snapshot::take();
    EXPECT_TRUE(seen_channel(later, c->id())->seen.closed);
    EXPECT_TRUE(seen_channel(later, c->id())->seen.poisoned);
    EXPECT_EQ(seen_channel(later, c->id())->seen.counts.dropped, 3U);
}

TEST_F(snapshots, show_who_waits) {
    std::jthread receiver([this] { EXPECT_EQ(recv(*b), got(5)); });
    wait_parked_receivers(*c, 1);
    EXPECT_EQ(seen_channel(snapshot::take(), c->id())->seen.counts.waiting_receivers, 1U);
    EXPECT_EQ(send(*a, 5), outcome::ok);
}

TEST_F(snapshots, keep_nothing_alive_and_see_nothing_that_is_gone) {
    const channel_id id = c->id();
    const snapshot before = snapshot::take();
    ASSERT_NE(seen_channel(before, id), nullptr);
    const std::weak_ptr<channel> watched = c;
    c.reset();
    EXPECT_TRUE(watched.expired());
    EXPECT_EQ(seen_channel(snapshot::take(), id), nullptr);
}

TEST_F(snapshots, count_what_queues_pass_and_drop) {
    const std::shared_ptr<queue> q = queue::create(3, unbound::replace);
    q->add_holder(end::recv, *a);
    const auto put = [&](party& by, unbound how) {
        message m = numbered(1);
        m.set_if_unbound(how);
        return q->attempt(end::send, by, m);
    };
    EXPECT_EQ(put(*a, unbound::replace), outcome::ok);
    EXPECT_EQ(put(*b, unbound::remove), outcome::ok);
    EXPECT_EQ(put(*b, unbound::replace), outcome::ok);
    std::jthread putter([&] {
        message m = numbered(2);
        wait_site site;
        EXPECT_EQ(q->put(*a, m, never_expected(), site), outcome::ok);
    });
    while (q->parked_putters() != 1) {
        std::this_thread::yield();
    }
    const snapshot waiting = snapshot::take();
    EXPECT_EQ(seen_queue(waiting, q->id())->seen.waiting_putters, 1U);
    EXPECT_EQ(seen_queue(waiting, q->id())->seen.users, std::vector{a->id()});
    message m;
    EXPECT_EQ(q->attempt(end::recv, *a, m), outcome::ok); // lets the putter in
    putter.join();
    q->party_died(*b);
    const auto counts = [&] { return seen_queue(snapshot::take(), q->id())->seen; };
    EXPECT_EQ(counts().put, 4U);
    EXPECT_EQ(counts().got, 1U);
    EXPECT_EQ(counts().dropped, 1U);
    EXPECT_EQ(counts().items, 2U);
    q->shut_down(true);
    EXPECT_EQ(counts().dropped, 3U);
    EXPECT_TRUE(counts().shut);
    q->drop_holder(end::recv, *a);
}

TEST_F(snapshots, count_a_message_handed_to_a_getter_as_put_and_got) {
    const std::shared_ptr<queue> q = queue::create(0, unbound::replace);
    std::jthread getter([&] {
        message m;
        wait_site site;
        EXPECT_EQ(q->get(*b, m, never_expected(), site), outcome::ok);
    });
    while (q->parked_getters() != 1) {
        std::this_thread::yield();
    }
    message m = numbered(1);
    EXPECT_EQ(q->attempt(end::send, *a, m), outcome::ok);
    getter.join();
    const queue::portrait seen = q->draw();
    EXPECT_EQ(seen.put, 1U);
    EXPECT_EQ(seen.got, 1U);
    EXPECT_EQ(seen.items, 0U);
}

TEST_F(snapshots, are_bounded_and_say_how_many_are_left_out) {
    std::vector<std::shared_ptr<channel>> many;
    const std::size_t there = channel::all().size();
    for (std::size_t n = there; n < snapshot::most; ++n) {
        many.push_back(channel::create(0));
    }
    EXPECT_EQ(snapshot::take().channels.size(), snapshot::most);
    EXPECT_EQ(snapshot::take().channels_left_out, 0U);
    for (int n = 0; n < 7; ++n) {
        many.push_back(channel::create(0));
    }
    const snapshot all = snapshot::take();
    EXPECT_EQ(all.channels.size(), snapshot::most);
    EXPECT_EQ(all.channels_left_out, 7U);
    EXPECT_NE(seen_channel(all, c->id()), nullptr) << "the oldest are shown";
    EXPECT_NE(all.to_json().find("\"channels_left_out\":7"), std::string::npos);
}

/// A window of a party stands for an interpreter: what is live in it is counted there.
class window_counts : public memory_test {};

TEST_F(window_counts, follow_what_lives_in_a_window) {
    auto owner = std::make_unique<actor>();
    window& view = owner->view();
    const std::size_t slots = view.slots.load();
    const std::size_t bytes = view.slot_bytes.load();
    slot& first = *owner->make(100'000, 1);
    slot& second = *owner->make(200'000, 2);
    EXPECT_EQ(view.slots.load() - slots, 2U);
    EXPECT_EQ(view.slot_bytes.load() - bytes, first.bytes.load() + second.bytes.load());
    memory().resize(first, 110'000);
    EXPECT_EQ(view.slot_bytes.load() - bytes, 110'000U + second.bytes.load());
    memory().resize(first, 100'000);
    owner->drop(first);
    EXPECT_EQ(view.slots.load() - slots, 1U);
    EXPECT_EQ(view.slot_bytes.load() - bytes, second.bytes.load());
    owner->drop(second);
    EXPECT_EQ(view.slots.load(), slots);
    EXPECT_EQ(view.slot_bytes.load(), bytes);
}

TEST_F(window_counts, leave_with_the_owner_and_are_not_the_receivers) {
    auto owner = std::make_unique<actor>();
    actor receiver;
    window& view = owner->view();
    slot& s = *owner->make(300'000, 4);
    void* const twin = receiver.receive(owner->send(s));
    EXPECT_EQ(receiver.view().slots.load(), 0U) << "a twin is the owner's slot";
    owner.reset();
    EXPECT_EQ(view.slots.load(), 0U);
    EXPECT_EQ(view.slot_bytes.load(), 0U);
    receiver.drop(twin);
    EXPECT_EQ(receiver.view().slots.load(), 0U);
}

// --- beside others; under ThreadSanitizer this is the proof that looking needs no more locks

TEST(snapshots_beside_others, see_consistent_channels_while_all_is_used_and_comes_and_goes) {
    const auto a = party::create();
    const auto b = party::create();
    const auto lasting = channel::create(4);
    const auto q = queue::create(4, unbound::replace);
    std::atomic<bool> stop{false};
    std::vector<std::jthread> users;
    users.emplace_back([&] {
        while (!stop.load()) {
            message m = numbered(1);
            static_cast<void>(lasting->try_send(*a, m));
            message n = numbered(2);
            static_cast<void>(q->attempt(end::send, *a, n));
        }
    });
    users.emplace_back([&] {
        while (!stop.load()) {
            message m;
            static_cast<void>(lasting->try_recv(*b, m));
            static_cast<void>(q->attempt(end::recv, *b, m));
        }
    });
    users.emplace_back([&] {
        while (!stop.load()) {
            const auto passing = channel::create(std::nullopt);
            passing->add_holder(end::send, *a);
            message m = numbered(3);
            static_cast<void>(passing->try_send(*a, m));
            passing->drop_holder(end::send, *a);
        }
    });
    users.emplace_back([&] {
        int state = 0;
        for (std::int64_t n = 1'000; !stop.load(); ++n) {
            const interpreter_ref made = interpreters().attach(&state, n, true, false, true);
            interpreters().name_it(*made, "passing");
            interpreters().gone(made);
        }
    });
    for (int n = 0; n < 300; ++n) {
        const snapshot all = snapshot::take();
        const snapshot::channel_view* const seen = seen_channel(all, lasting->id());
        ASSERT_NE(seen, nullptr);
        const channel::statistics& counts = seen->seen.counts;
        EXPECT_EQ(counts.sent, counts.received + counts.dropped + counts.buffered);
        EXPECT_LE(counts.buffered, 4U);
        const queue::portrait& queued = seen_queue(all, q->id())->seen;
        EXPECT_EQ(queued.put, queued.got + queued.dropped + queued.items);
        EXPECT_FALSE(all.to_json().empty());
    }
    stop.store(true);
}

// --- JSON

TEST(json_writer, nests_and_separates) {
    json_writer out;
    out.begin_object().field("a", 1).key("b").begin_array().value(true).null().end_array();
    out.key("c").begin_object().end_object().field("d", ~std::uint64_t{0}).field("e", std::int64_t{-5});
    EXPECT_EQ(out.end_object().take(), R"({"a":1,"b":[true,null],"c":{},"d":18446744073709551615,"e":-5})");
    EXPECT_EQ(out.begin_array().end_array().take(), "[]") << "empty after take()";
}

TEST(json_writer, escapes_what_must_not_stand_in_text) {
    const auto written = [](std::string_view s) { return json_writer().text(s).take(); };
    EXPECT_EQ(written("plain"), "\"plain\"");
    EXPECT_EQ(written("\"\\\n\x1b\x7f"), R"("\"\\\u000a\u001b\u007f")");
    EXPECT_EQ(written(std::string_view("\0", 1)), R"("\u0000")");
    EXPECT_EQ(written("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    // Overlong, surrogate, too large, cut off, lone continuation.
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(written("\xc0\x80"), "\"" + bad + bad + "\"");
    EXPECT_EQ(written("\xed\xa0\x80"), "\"" + bad + bad + bad + "\"");
    EXPECT_EQ(written("\xf4\x90\x80\x80"), "\"" + bad + bad + bad + bad + "\"");
    EXPECT_EQ(written("\xe2\x82"), "\"" + bad + bad + "\"");
    EXPECT_EQ(written("\xe2\x82("), "\"" + bad + bad + "(\"");
    EXPECT_EQ(written("\x80z"), "\"" + bad + "z\"");
}

} // namespace
} // namespace isthmus::core::test

/// Between the host and interpreters: what each makes is seen by the other over the same pages.
#include "bytes_fixture.hpp"

#include "core/registry.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace isthmus::test {
namespace {

using host_blocks = bytes_test;

TEST_F(host_blocks, are_objects_in_every_window) {
    actor other;
    const std::string data = sample(300'000);
    const bytes made(data);
    void* const twin = receive(other, access::share_of(made));
    ASSERT_NE(twin, nullptr);
    EXPECT_EQ(seen_at(twin), terminated(data));
    const slot& s = *memory().find(twin);
    EXPECT_TRUE(access::holds_bytes(access::share_of(made)));
    EXPECT_EQ(s.owner.load(), core::host_owner);
    EXPECT_EQ(core::interpreters().find_identity(s.owner.load()), nullptr) << "Python shows it as None";
    EXPECT_EQ(core::interpreters().server_of(memory().window_at(s.owner_window.load())), nullptr);
    EXPECT_EQ(s.record.hash, -1);
    EXPECT_EQ(s.record.length, static_cast<std::int64_t>(data.size()));
    EXPECT_EQ(s.shares(), 2U) << "the host's, and the twin's";
    other.drop(twin);
}

TEST_F(host_blocks, come_back_as_what_they_were) {
    actor other;
    const bytes made(sample(300'000));
    void* const twin = receive(other, access::share_of(made));
    slot& s = *memory().find(twin);
    core::add_share(s); // sent back
    const bytes back = access::bytes_from(core::share(&s));
    EXPECT_TRUE(back.same_memory(made));
    EXPECT_EQ(back.data(), made.data());
    EXPECT_EQ(twins(), 1U) << "the interpreter's; the host needs none";
    other.drop(twin);
}

TEST_F(host_blocks, last_as_long_as_an_interpreter_holds_them) {
    actor other;
    const std::string data = sample(300'000);
    auto made = std::make_unique<bytes>(data);
    void* const twin = receive(other, access::share_of(*made));
    const slot& s = *memory().find(twin);
    made.reset();
    EXPECT_EQ(seen_at(twin), terminated(data));
    EXPECT_EQ(s.state.load(), slot::use::live);
    other.drop(twin); // in its free hook, so to say
    EXPECT_EQ(s.state.load(), slot::use::idle) << "freed by the drop, with nobody of the host's there";
}

TEST_F(host_blocks, are_freed_when_the_interpreter_that_had_the_last_twin_dies) {
    auto other = std::make_unique<actor>();
    std::vector<const slot*> held;
    for (unsigned n = 0; n < 3; ++n) {
        const bytes made(sample(300'000, n));
        void* const twin = receive(*other, access::share_of(made));
        ASSERT_NE(twin, nullptr);
        held.push_back(memory().find(twin));
    }
    other.reset();
    for (const slot* each : held) {
        EXPECT_EQ(each->state.load(), slot::use::idle);
    }
}

TEST_F(host_blocks, that_are_used_again_show_what_is_new) {
    actor other;
    for (unsigned n = 0; n < 5; ++n) {
        const std::string data = sample(300'000, n);
        const bytes made(data);
        void* const twin = receive(other, access::share_of(made));
        ASSERT_NE(twin, nullptr);
        EXPECT_EQ(seen_at(twin), terminated(data));
        other.drop(twin);
    }
}

using host_twins = bytes_test;

TEST_F(host_twins, see_what_an_interpreter_made) {
    actor owner;
    for (unsigned n = 0; n < 3; ++n) { // the second time the slot is mapped, and its header page is stale
        const std::string data = sample(300'000, n);
        slot* const s = make_bytes(owner, data);
        ASSERT_NE(s, nullptr);
        {
            const bytes received = access::bytes_from(owner.send(*s));
            EXPECT_TRUE(received.view() == data);
            EXPECT_EQ(received.data()[data.size()], std::byte{0});
            EXPECT_TRUE(received.shared());
            EXPECT_NE(received.data(), static_cast<std::byte*>(owner.base(*s)) + core::bytes_header);
            EXPECT_EQ(s->shares(), 1U);
            const core::share again = access::share_of(received);
            EXPECT_EQ(again.get(), s);
        }
        EXPECT_EQ(owner.drain(), 1U) << "the last one is back";
        owner.drop(*s);
        EXPECT_EQ(s->state.load(), slot::use::idle);
    }
    EXPECT_EQ(fallback_copies(), 0U);
}

TEST_F(host_twins, follow_what_is_written_to_the_pages) {
    actor owner;
    slot* const s = make_bytes(owner, sample(300'000));
    bytes received = access::bytes_from(owner.send(*s));
    static_cast<std::byte*>(owner.base(*s))[200'000] = std::byte{0xee}; // no interpreter would
    EXPECT_EQ(received.data()[200'000 - core::bytes_header], std::byte{0xee});
    owner.drop(*s); // the keeper is left
    EXPECT_EQ(s->state.load(), slot::use::live);
    received = bytes();
    EXPECT_EQ(owner.drain(), 1U);
    EXPECT_EQ(s->state.load(), slot::use::idle);
}

TEST_F(host_twins, are_one_for_all_that_is_received) {
    actor owner;
    const std::string data = sample(300'000);
    slot* const s = make_bytes(owner, data);
    const std::uint64_t before = twins();
    bytes first = access::bytes_from(owner.send(*s));
    bytes second = access::bytes_from(owner.send(*s));
    EXPECT_EQ(first.data(), second.data());
    EXPECT_TRUE(first.same_memory(second));
    EXPECT_EQ(twins() - before, 1U);
    EXPECT_EQ(s->shares(), 1U) << "the twin's alone";
    first = bytes();
    EXPECT_EQ(twins() - before, 1U);
    EXPECT_TRUE(second.view() == data);
    bytes third = access::bytes_from(access::share_of(second));
    second = bytes();
    EXPECT_TRUE(third.view() == data);
    EXPECT_EQ(s->shares(), 1U);
    third = bytes();
    EXPECT_EQ(twins(), before);
    EXPECT_EQ(owner.drain(), 1U);
    owner.drop(*s);
}

TEST_F(host_twins, outlive_the_owner) {
    const std::string data = sample(300'000);
    bytes received;
    bytes forwarded;
    {
        actor owner;
        received = access::bytes_from(owner.send(*make_bytes(owner, data)));
    }
    EXPECT_TRUE(received.view() == data);
    const slot* const s = access::share_of(received).get();
    EXPECT_EQ(s->owner_window.load(), core::no_window);
    forwarded = access::bytes_from(access::share_of(received));
    received = bytes();
    EXPECT_TRUE(forwarded.view() == data);
    actor other;
    void* const twin = receive(other, access::share_of(forwarded));
    ASSERT_NE(twin, nullptr);
    EXPECT_EQ(seen_at(twin), terminated(data));
    other.drop(twin);
    forwarded = bytes();
    EXPECT_NE(s->state.load(), slot::use::live);
}

TEST_F(host_twins, of_an_owner_that_was_gone_before) {
    const std::string data = sample(300'000);
    core::share held;
    {
        actor owner;
        held = owner.send(*make_bytes(owner, data));
    }
    EXPECT_TRUE(access::bytes_from(std::move(held)).view() == data);
}

TEST_F(host_twins, are_taken_from_the_record_whatever_a_twin_did_to_its_own_bytes) {
    actor owner;
    actor other;
    const std::string data = sample(300'000);
    slot* const s = make_bytes(owner, data);
    void* const twin = receive(other, owner.send(*s));
    static_cast<char*>(twin)[core::bytes_header] = static_cast<char>(data[0] + 1); // H2: inline bytes
    core::add_share(*s);
    EXPECT_TRUE(access::bytes_from(core::share(s)).view() == data);
    other.drop(twin);
    owner.drain();
    owner.drop(*s);
}

using limits = bytes_test;

TEST_F(limits, of_mappings_make_copies) {
    actor owner;
    const std::string data = sample(300'000);
    slot* const s = make_bytes(owner, data);
    ASSERT_NE(s, nullptr);
    std::vector<slot*> filling;
    while (slot* const one = owner.make(1'000, 1)) {
        filling.push_back(one);
    }
    ASSERT_GT(filling.size(), 10U);
    {
        // The host gives up its idle blocks for what it needs: until it has none.
        std::vector<bytes> of_host;
        do {
            of_host.emplace_back(sample(least_shared()));
        } while (of_host.back().shared());
        const std::uint64_t copied = statistics::read(counter::payload_bytes_copied);
        const bytes received = access::bytes_from(owner.send(*s));
        EXPECT_FALSE(received.shared());
        EXPECT_TRUE(received.view() == data);
        EXPECT_EQ(received.data()[data.size()], std::byte{0});
        EXPECT_FALSE(access::share_of(received));
        EXPECT_EQ(fallback_copies(), 1U);
        EXPECT_EQ(statistics::read(counter::payload_bytes_copied) - copied, s->bytes.load());
        EXPECT_EQ(s->shares(), 0U) << "given back at once";
        const bytes made(data);
        EXPECT_FALSE(made.shared()) << "no room for a new block";
        EXPECT_TRUE(made.view() == data);
    }
    for (const slot* each : filling) {
        owner.drop(*each);
    }
    EXPECT_EQ(owner.drain(), 1U);
    owner.drop(*s);
}

using crowds = bytes_test;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int crowd_rounds = 1'000;
#else
constexpr int crowd_rounds = 6'000;
#endif

/// Shares and values on their way between threads.
struct crossroads {
    std::mutex lock;
    std::deque<core::share> to_host;
    std::deque<core::share> to_interpreters;

    static core::share take(std::mutex& lock, std::deque<core::share>& from) {
        const std::lock_guard guard(lock);
        if (from.empty()) {
            return {};
        }
        core::share first = std::move(from.front());
        from.pop_front();
        return first;
    }
    static void put(std::mutex& lock, std::deque<core::share>& to, core::share s) {
        core::share oldest; // dropped after the lock
        const std::lock_guard guard(lock);
        if (to.size() > 32) {
            oldest = std::move(to.front());
            to.pop_front();
        }
        to.push_back(std::move(s));
    }
};

bool is_whole(const std::byte* data, std::size_t size) {
    const auto mark = static_cast<std::byte>(size % 251);
    return data[0] == mark && data[size / 2] == mark && data[size - 1] == mark;
}

void mark(std::byte* data, std::size_t size) {
    data[0] = data[size / 2] = data[size - 1] = static_cast<std::byte>(size % 251);
}

void be_host(crossroads& at, std::uint64_t seed) {
    dice chance(seed);
    std::array<bytes, 6> kept;
    for (int n = 0; n < crowd_rounds; ++n) {
        bytes& one = kept[chance.roll(kept.size())];
        if (chance.once_in(2)) {
            bytes_builder writing(least_shared() + chance.roll(100'000));
            mark(writing.data(), writing.size());
            one = std::move(writing).publish();
        } else if (core::share held = crossroads::take(at.lock, at.to_host)) {
            one = access::bytes_from(std::move(held));
        }
        if (!one.empty()) {
            ASSERT_TRUE(is_whole(one.data(), one.size()));
            crossroads::put(at.lock, chance.once_in(3) ? at.to_host : at.to_interpreters,
                            access::share_of(one));
        }
    }
}

/// Lives some short lives, so that windows change hands.
void be_interpreters(crossroads& at, std::uint64_t seed) {
    dice chance(seed);
    for (int life = 0; life < 10; ++life) {
        actor self;
        std::vector<void*> kept;
        for (int n = 0; n < crowd_rounds / 10; ++n) {
            if (chance.once_in(2)) {
                const std::size_t size = least_shared() + chance.roll(100'000);
                slot* const s = make_bytes(self, std::string(size, static_cast<char>(size % 251)));
                ASSERT_NE(s, nullptr);
                crossroads::put(at.lock, chance.once_in(2) ? at.to_host : at.to_interpreters, self.send(*s));
                self.drop(*s);
            } else if (core::share held = crossroads::take(at.lock, at.to_interpreters)) {
                void* const object = receive(self, std::move(held));
                ASSERT_NE(object, nullptr);
                const std::string_view data = seen_at(object);
                ASSERT_TRUE(is_whole(reinterpret_cast<const std::byte*>(data.data()), data.size() - 1));
                kept.push_back(object);
            }
            if (kept.size() > 8) {
                std::swap(kept.back(), kept[chance.roll(kept.size())]);
                self.drop(kept.back());
                kept.pop_back();
            }
            self.drain();
        }
        // What is kept goes with the window.
    }
}

TEST_F(crowds, of_hosts_and_interpreters_leave_nothing_behind) {
    const std::uint64_t seed = core::test::test_seed();
    crossroads at;
    std::vector<std::thread> threads;
    for (std::uint64_t n = 0; n < 2; ++n) {
        threads.emplace_back([&, n] { be_host(at, seed + n); });
        threads.emplace_back([&, n] { be_interpreters(at, seed + 10 + n); });
    }
    for (std::thread& each : threads) {
        each.join();
    }
}

} // namespace
} // namespace isthmus::test

/// Hazard H3: after a fork, parent and child have payloads of their own under the same addresses.

#include "memory_fixture.hpp"

#include <algorithm>
#include <memory>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace isthmus::core::test {
namespace {

using fork_memory = memory_test;

/// Orders the steps of two processes. Each side gives its end up when it ends, so neither waits for the dead.
class steps {
  public:
    steps() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0); }
    steps(const steps&) = delete;
    steps& operator=(const steps&) = delete;
    ~steps() { finish(); }

    /// After the fork: which side this process is.
    void begin(bool child) {
        mine_ = child ? 1 : 0;
        close(std::exchange(ends_[1 - mine_], -1));
    }
    void done() const { EXPECT_EQ(send(ends_[mine_], "x", 1, MSG_NOSIGNAL), 1); }
    void wait() const {
        char byte = 0;
        EXPECT_EQ(recv(ends_[mine_], &byte, 1, 0), 1) << "the other process has ended";
    }
    void finish() {
        for (int& end : ends_) {
            if (end >= 0) {
                close(std::exchange(end, -1));
            }
        }
    }

  private:
    int ends_[2] = {-1, -1};
    int mine_ = 0;
};

/// Forks; runs `of_child` there and `of_parent` here, then expects that the child found nothing wrong.
void both(steps& order, const std::function<void()>& of_child, const std::function<void()>& of_parent) {
    std::fflush(nullptr);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    order.begin(child == 0);
    if (child == 0) {
        of_child();
        std::fflush(nullptr);
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    of_parent();
    order.finish();
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "the child's failures are printed above";
}

std::byte* payload_of(void* object) {
    return static_cast<std::byte*>(object) + header_room;
}

TEST_F(fork_memory, parent_and_child_write_payloads_of_their_own) {
    actor owner;
    slot& s = *owner.make(500'000, 3);
    void* const object = owner.base(s);
    header_of(object).tag = 99;
    steps order;
    both(
        order,
        [&] {
            const bool same = first_difference(s, object) == 0 && header_of(object).tag == 99;
            std::memset(payload_of(object), 0xcc, 400'000);
            header_of(object).tag = 1;
            order.done();
            order.wait();
            EXPECT_TRUE(same) << "what lay there at the fork";
            EXPECT_EQ(*payload_of(object), std::byte{0xcc});
            EXPECT_EQ(payload_of(object)[399'999], std::byte{0xcc});
            EXPECT_EQ(header_of(object).tag, 1U) << "the owner's header page is memory of the arena, too";
        },
        [&] {
            order.wait();
            const bool same = first_difference(s, object) == 0 && header_of(object).tag == 99;
            std::memset(payload_of(object), 0xdd, 400'000);
            header_of(object).tag = 2;
            order.done();
            EXPECT_TRUE(same) << "the child's writes must not show";
        });
    EXPECT_EQ(*payload_of(object), std::byte{0xdd});
    EXPECT_EQ(header_of(object).tag, 2U);
    owner.drop(s);
}

TEST_F(fork_memory, foreign_windows_follow_their_own_process) {
    auto owner = std::make_unique<actor>();
    actor receiver;
    slot& s = *owner->make(300'000, 4);
    void* const object = owner->base(s);
    void* const twin = receiver.receive(owner->send(s));
    ASSERT_NE(twin, nullptr);
    header_of(twin).tag = 77;
    steps order;
    both(
        order,
        [&] {
            const bool same = first_difference(s, twin) == 0 && header_of(twin).tag == 77;
            payload_of(object)[page_size] = std::byte{0xcc};
            header_of(twin).tag = 1;
            order.done();
            order.wait();
            EXPECT_TRUE(same);
            EXPECT_EQ(payload_of(twin)[page_size], std::byte{0xcc}) << "one memory in all of its windows";
            EXPECT_EQ(memory().payload(s)[page_size], std::byte{0xcc});
            receiver.drop(twin);
            EXPECT_EQ(owner->drain(), 1U);
            owner->drop(s);
            EXPECT_EQ(s.state, slot::use::idle);
        },
        [&] {
            order.wait();
            const bool same = first_difference(s, twin) == 0 && header_of(twin).tag == 77;
            payload_of(object)[page_size] = std::byte{0xdd};
            order.done();
            EXPECT_TRUE(same);
            EXPECT_EQ(payload_of(twin)[page_size], std::byte{0xdd});
        });
    EXPECT_EQ(s.shares(), 1U) << "the child's drops are its own";
    receiver.drop(twin);
    owner->drain();
    owner->drop(s);
}

TEST_F(fork_memory, a_payload_whose_owner_is_gone_is_copied_as_well) {
    auto owner = std::make_unique<actor>();
    actor receiver;
    slot& s = *owner->make(300'000, 4);
    void* const twin = receiver.receive(owner->send(s));
    owner.reset();
    steps order;
    both(
        order,
        [&] {
            order.wait();
            EXPECT_EQ(first_difference(s, twin), 0U);
            receiver.drop(twin);
            EXPECT_NE(s.state, slot::use::live);
        },
        [&] {
            // The parent's pages are freed and written anew while the child still reads its own.
            receiver.drop(twin);
            slot* const fresh = receiver.make(300'000, 500);
            order.done();
            ASSERT_NE(fresh, nullptr);
            EXPECT_EQ(memory().index_of(*fresh), memory().index_of(s));
            receiver.drop(*fresh);
        });
}

/// No new descriptor can be had while it lives.
class no_descriptors {
  public:
    no_descriptors() {
        getrlimit(RLIMIT_NOFILE, &before_);
        rlimit none = before_;
        none.rlim_cur = 0;
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    no_descriptors(const no_descriptors&) = delete;
    no_descriptors& operator=(const no_descriptors&) = delete;
    ~no_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

  private:
    rlimit before_{};
};

TEST_F(fork_memory, without_a_descriptor_the_child_has_what_lay_there_though_nobody_waits_for_it) {
    auto gone = std::make_unique<actor>();
    actor owner;
    slot& orphan = *gone->make(200'000, 5);
    void* const twin = owner.receive(gone->send(orphan));
    gone.reset();
    slot& s = *owner.make(500'000, 3);
    void* const object = owner.base(s);
    steps order;
    const no_descriptors none;
    both(
        order,
        [&] {
            EXPECT_EQ(first_difference(s, object), 0U);
            EXPECT_EQ(first_difference(orphan, twin), 0U);
            std::memset(payload_of(object), 0xcc, 400'000);
            order.done();
            order.wait();
            EXPECT_EQ(payload_of(object)[399'999], std::byte{0xcc});
            slot& fresh = *owner.make(300'000, 6);
            EXPECT_EQ(first_difference(fresh, owner.base(fresh)), 0U);
            owner.drop(fresh);
        },
        [&] {
            std::memset(payload_of(object), 0xdd, 400'000); // at once: the child must not see it
            order.wait();
            EXPECT_EQ(payload_of(object)[399'999], std::byte{0xdd}) << "the child's writes must not show";
            order.done();
        });
    owner.drop(twin);
    owner.drop(s);
}

TEST_F(fork_memory, warm_and_new_blocks_work_in_both) {
    actor owner;
    slot& live = *owner.make(100'000, 1);
    slot& warm = *owner.make(200'000, 2);
    owner.drop(warm);
    const auto use_memory = [&](std::uint64_t tag) {
        slot* const again = owner.make(200'000, tag);
        slot* const fresh = owner.make(3 * mebibyte, tag + 1);
        ASSERT_TRUE(again != nullptr && fresh != nullptr);
        EXPECT_EQ(again, &warm);
        EXPECT_EQ(first_difference(*again, owner.base(*again)), 0U);
        EXPECT_EQ(first_difference(*fresh, owner.base(*fresh)), 0U);
        EXPECT_EQ(first_difference(live, owner.base(live)), 0U);
        void* const clean = memory().allocate(owner.view(), 1, mebibyte, mebibyte, true);
        ASSERT_NE(clean, nullptr);
        const auto* bytes = static_cast<const std::byte*>(clean);
        EXPECT_TRUE(std::all_of(bytes, bytes + mebibyte, [](std::byte b) { return b == std::byte{0}; }));
        memory().release(clean);
        owner.drop(*again);
        owner.drop(*fresh);
    };
    steps order;
    both(
        order, [&] { use_memory(10); }, [&] { use_memory(20); });
    owner.drop(live);
}

TEST_F(fork_memory, a_childs_child_is_apart_as_well) {
    actor owner;
    slot& s = *owner.make(100'000, 1);
    EXPECT_EQ(in_child([&] {
                  owner.drop(s);
                  slot& mine = *owner.make(100'000, 2);
                  EXPECT_EQ(in_child([&] { std::memset(payload_of(owner.base(mine)), 0xcc, 90'000); }), 0);
                  EXPECT_EQ(first_difference(mine, owner.base(mine)), 0U);
              }),
              0);
    EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
    owner.drop(s);
}

TEST_F(fork_memory, a_fork_without_blocks_starts_from_nothing) {
    EXPECT_EQ(in_child([] {
                  actor owner;
                  slot& s = *owner.make(100'000, 1);
                  EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
                  owner.drop(s);
              }),
              0);
    EXPECT_EQ(resident_bytes(memory().space()), 0U);
}

TEST_F(fork_memory, blocks_made_after_a_fork_without_any_are_each_processs_own) {
    steps order;
    const auto make_and_keep = [&order](std::uint64_t tag, bool first) {
        actor owner;
        const auto met = [&order](bool speak) { speak ? order.done() : order.wait(); };
        met(!first); // the child is begun
        slot& s = *owner.make(100'000, tag);
        met(first);
        met(!first); // both made one
        EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
        owner.drop(s);
    };
    both(
        order, [&] { make_and_keep(1, false); }, [&] { make_and_keep(2, true); });
}

TEST_F(fork_memory, a_child_without_blocks_and_without_memory_of_its_own_places_none) {
    EXPECT_EQ(in_child([] {
                  rlimit before{};
                  EXPECT_EQ(getrlimit(RLIMIT_AS, &before), 0);
                  const rlimit none = {0, before.rlim_max};
                  EXPECT_EQ(setrlimit(RLIMIT_AS, &none), 0);
                  EXPECT_EQ(in_child([&] {
                                EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
                                actor owner;
                                EXPECT_EQ(owner.make(100'000, 1), nullptr);
                            }),
                            0);
              }),
              0);
    actor owner;
    slot& s = *owner.make(100'000, 2);
    EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
    owner.drop(s);
}

TEST_F(fork_memory, a_child_that_gets_no_memory_of_its_own_ends) {
    actor owner;
    slot& s = *owner.make(100'000, 1);
    for (const bool with_descriptors : {true, false}) {
        EXPECT_EQ(in_child([&] {
                      const rlimit none = {0, 0};
                      EXPECT_EQ(setrlimit(RLIMIT_AS, &none), 0);
                      if (!with_descriptors) {
                          EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
                      }
                      const pid_t child = fork();
                      if (child == 0) {
                          _exit(1); // not reached
                      }
                      int status = 0;
                      EXPECT_EQ(waitpid(child, &status, 0), child);
                      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 127) << status;
                      EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
                  }),
                  0);
    }
    owner.drop(s);
}

TEST_F(fork_memory, forks_beside_threads_that_use_the_memory) {
    std::atomic<bool> stop{false};
    std::thread beside([&] {
        actor other;
        for (std::uint64_t n = 0; !stop.load(); ++n) {
            slot* const s = other.make(70'000 + n % 7 * 50'000, n);
            ASSERT_NE(s, nullptr);
            ASSERT_EQ(first_difference(*s, other.base(*s)), 0U);
            other.drop(*s);
        }
    });
    {
        actor owner;
        slot& s = *owner.make(100'000, 1);
        for (int n = 0; n < 20; ++n) {
            EXPECT_EQ(in_child([&] {
                          EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
                          slot* const fresh = owner.make(100'000, 2);
                          EXPECT_NE(fresh, nullptr);
                          EXPECT_EQ(first_difference(s, owner.base(s)), 0U);
                      }),
                      0);
        }
        owner.drop(s);
    }
    stop.store(true);
    beside.join();
}

} // namespace
} // namespace isthmus::core::test

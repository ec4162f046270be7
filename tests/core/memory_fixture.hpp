/// What the memory tests share: interpreters in miniature over the real memory system, and a balance that
/// every test must leave as it found it (invariant 10).
///
/// An `actor` stands for one interpreter: a window, and objects that begin with a reference count, as
/// CPython's do. Its functions need its "GIL": call them from one thread at a time.
#pragma once

#include "seed.hpp"

#include "core/memory.hpp"
#include "core/stats.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace isthmus::core::test {

inline constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// Small enough for every sanitizer, and so that each limit can be reached in milliseconds.
inline constexpr options small_sizes{.capacity = 64 * mebibyte,
                                     .windows = 8,
                                     .budget = 4 * mebibyte,
                                     .mapping_cap = 700,
                                     .threshold = 64 * 1024};

inline memory_system& started_memory() {
    EXPECT_TRUE(memory().start(small_sizes)) << memory().space().why();
    return memory();
}

/// Numbers by chance, the same for the same seed on every machine.
class dice {
  public:
    explicit dice(std::uint64_t seed) : engine_(seed) {}
    /// 0 to `sides` - 1.
    std::size_t roll(std::size_t sides) { return static_cast<std::size_t>(engine_() % sides); }
    bool once_in(std::size_t sides) { return roll(sides) == 0; }

  private:
    std::mt19937_64 engine_;
};

/// Within a minute, or the process says where it hangs and is killed by SIGALRM (14).
inline void hang_loudly() {
    std::signal(SIGALRM, [](int) {
        std::array<void*, 64> at{};
        backtrace_symbols_fd(at.data(), backtrace(at.data(), static_cast<int>(at.size())), STDERR_FILENO);
        std::signal(SIGALRM, SIG_DFL);
        std::raise(SIGALRM);
    });
    alarm(60);
}

/// Runs `body` in a forked child and returns the status as waitpid gives it; a failed EXPECT there makes the
/// child exit with 1, and 14 is one that hung.
inline int in_child(const std::function<void()>& body) {
    std::fflush(nullptr);
    void* any = nullptr;
    backtrace(&any, 1); // the first one loads a library
    const pid_t child = fork();
    if (child == 0) {
        hang_loudly();
        body();
        std::fflush(nullptr);
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

/// Bytes of the arena that have pages, asked of the kernel.
inline std::size_t resident_bytes(const arena& space) {
    std::vector<unsigned char> pages(space.capacity() / page_size);
    EXPECT_EQ(mincore(space.master_at(0), space.capacity(), pages.data()), 0);
    std::size_t count = 0;
    for (const unsigned char page : pages) {
        count += page & 1U;
    }
    return count * page_size;
}

/// How an object of these tests begins, in its own window's header page.
struct object_header {
    std::int64_t references;
    std::uint64_t tag;
};
static_assert(sizeof(object_header) <= header_room);

inline object_header& header_of(void* object) {
    return *static_cast<object_header*>(object);
}

/// Keepers that a drain ended, in this process.
inline std::atomic<std::uint64_t> keepers_ended{0};

inline void drop_reference(void* object) {
    object_header& header = header_of(object);
    ASSERT_GT(header.references, 0);
    if (--header.references == 0) {
        memory().release(object);
    }
}

inline void end_keeper(void* object) {
    keepers_ended.fetch_add(1, std::memory_order_relaxed);
    drop_reference(object);
}

inline std::byte pattern(std::uint64_t tag, std::size_t position) {
    return static_cast<std::byte>((tag * 31 + position / 512 + 1) & 0xff);
}

/// A few bytes of every page of the payload; the length and the tag are in the record.
inline void write_payload(slot& s, std::byte* object, std::uint64_t tag, std::size_t size) {
    for (std::size_t at = header_room; at < size; at += 512) {
        object[at] = pattern(tag, at);
    }
    s.record.length = static_cast<std::int64_t>(size);
    s.record.hash = static_cast<std::int64_t>(tag);
}

/// Index of the first byte that is not as written, or 0.
inline std::size_t first_difference(const slot& s, const void* object) {
    const auto* bytes = static_cast<const std::byte*>(object);
    const auto tag = static_cast<std::uint64_t>(s.record.hash);
    for (std::size_t at = header_room; at < static_cast<std::size_t>(s.record.length); at += 512) {
        if (bytes[at] != pattern(tag, at)) {
            return at;
        }
    }
    return 0;
}

class actor {
  public:
    actor() : window_(started_memory().take_window()) {
        if (window_ == nullptr) {
            std::fputs("no window left: an earlier test kept one\n", stderr);
            std::abort();
        }
        identity_ = next_identity_.fetch_add(1);
    }
    actor(const actor&) = delete;
    actor& operator=(const actor&) = delete;
    ~actor() { die(); }

    /// The interpreter is gone, whatever it still holds. Once.
    void die() {
        if (window_ != nullptr) {
            memory().owner_gone(*std::exchange(window_, nullptr));
        }
    }

    [[nodiscard]] window& view() const { return *window_; }
    [[nodiscard]] void* base(const slot& s) const { return memory().object_in(window_->index, s); }

    /// An object with one reference and a payload by its tag; null if there is no room.
    slot* make(std::size_t size, std::uint64_t tag) {
        void* const object = memory().allocate(*window_, identity_, size, size, false);
        if (object == nullptr) {
            return nullptr;
        }
        slot* const s = memory().find(object);
        header_of(object) = {1, tag};
        write_payload(*s, static_cast<std::byte*>(object), tag, size);
        return s;
    }

    /// A new share of an object of one's own.
    share send(slot& s) {
        statistics::add(counter::shares_taken);
        if (protocol::share_by_owner(s)) {
            ++header_of(base(s)).references;
            ++keepers_begun;
        }
        return share(&s);
    }

    /// What arrives: one's own object, or a twin with a reference more. Null: mapping limit.
    void* receive(share held) {
        slot& s = *held.get();
        void* const object = base(s);
        if (s.owner_window.load() == window_->index || s.has_twin(window_->index)) {
            ++header_of(object).references;
            return object;
        }
        if (!memory().show(s, *window_)) {
            return nullptr;
        }
        header_of(object) = {1, static_cast<std::uint64_t>(s.record.hash)};
        slot::set(s.twins, window_->index);
        statistics::add(counter::twins_made);
        static_cast<void>(held.release());
        return object;
    }

    void drop(void* object) { drop_reference(object); }
    void drop(const slot& s) { drop_reference(base(s)); }
    std::size_t drain() { return memory().drain(*window_, end_keeper); }

    std::uint64_t keepers_begun = 0;

  private:
    static inline std::atomic<std::uint64_t> next_identity_{1};
    window* window_;
    std::uint64_t identity_ = 0;
};

/// Each test leaves what it found: gauges, counters that balance, mappings, pages, and address space in one
/// piece. Objects and actors are to be gone when the test's body ends.
class memory_test : public testing::Test {
  protected:
    void SetUp() override {
        started_memory();
        before_ = balance();
    }

    void TearDown() override {
        EXPECT_EQ(balance(), before_) << "slots, twins, shares, releases, touched bytes out of balance";
        EXPECT_EQ(memory().mappings(), 0U);
        EXPECT_EQ(memory().idle_bytes(), 0U);
        EXPECT_EQ(resident_bytes(memory().space()), 0U);
        window* const whole = memory().take_window();
        ASSERT_NE(whole, nullptr);
        EXPECT_EQ(whole->index, 0U) << "a window was not given back";
        const std::size_t all = memory().space().capacity() - object_offset;
        EXPECT_NE(memory().allocate(*whole, 1, all, all, true), nullptr) << "the address space is in pieces";
        memory().owner_gone(*whole);
    }

    using differences = std::array<std::uint64_t, 5>;
    /// Unsigned on purpose: a difference below zero is as wrong as one above.
    static differences balance() {
        const auto of = [](counter up, counter down) {
            return statistics::read(up) - statistics::read(down);
        };
        return {of(counter::slots_made, counter::slots_freed),
                of(counter::twins_made, counter::twins_dropped),
                of(counter::shares_taken, counter::shares_dropped),
                of(counter::releases_posted, counter::releases_run),
                of(counter::bytes_touched, counter::bytes_purged)};
    }

  private:
    differences before_{};
};

} // namespace isthmus::core::test

/// Design section 4 and invariants 1 and 9: what a window may see, and what happens when the kernel refuses.

#include "memory_fixture.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <sys/resource.h>

namespace isthmus::core::test {
namespace {

constexpr std::size_t length = 4 * page_size;
constexpr options wanted{.capacity = 64 * mebibyte, .windows = 4};

/// Reserves anew in every test, and never gives back: arenas are for the life of a process.
class arena_in_place : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(space.reserve(wanted)) << space.why(); }
    arena space;
};

using arena_windows = arena_in_place;

std::set<std::string> open_files() {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone; // the iterator's own
        const auto target = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone && target.string().find("/fd") == std::string::npos) {
            found.insert(entry.path().filename().string() + " " + target.string());
        }
    }
    return found;
}

/// A figure of /proc/self/status, in bytes.
std::size_t status_bytes(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        if (word == name + ":") {
            std::size_t kibibytes = 0;
            status >> kibibytes;
            return kibibytes * 1024;
        }
    }
    ADD_FAILURE() << "no " << name;
    return 0;
}

void limit_to(int which, std::size_t bytes) {
    rlimit limit{};
    ASSERT_EQ(getrlimit(static_cast<__rlimit_resource>(which), &limit), 0);
    limit.rlim_cur = std::min<rlim_t>(bytes, limit.rlim_max);
    ASSERT_EQ(setrlimit(static_cast<__rlimit_resource>(which), &limit), 0);
}

TEST_F(arena_windows, owner_and_foreign_window_see_the_same_payload) {
    constexpr std::size_t offset = 3 * unit_size;
    ASSERT_TRUE(space.map_owner(2, offset, length));
    ASSERT_TRUE(space.map_foreign(0, offset, length));
    std::byte* const written = space.at(2, offset);
    std::memset(written + page_size, 0x5a, length - page_size);
    EXPECT_EQ(std::memcmp(written + page_size, space.at(0, offset + page_size), length - page_size), 0);
    EXPECT_EQ(std::memcmp(written, space.master_at(offset), length), 0);
    written[length - 1] = std::byte{7};
    EXPECT_EQ(*space.at(0, offset + length - 1), std::byte{7});
}

TEST_F(arena_windows, header_pages_are_private) {
    ASSERT_TRUE(space.map_owner(0, 0, length));
    ASSERT_TRUE(space.map_foreign(1, 0, length));
    ASSERT_TRUE(space.map_foreign(2, 0, length));
    for (unsigned window = 0; window < 3; ++window) {
        EXPECT_EQ(*space.at(window, object_offset), std::byte{0});
    }
    for (unsigned window = 0; window < 3; ++window) {
        std::memset(space.at(window, 0), static_cast<int>(window) + 1, page_size);
    }
    for (unsigned window = 0; window < 3; ++window) {
        EXPECT_EQ(*space.at(window, 0), static_cast<std::byte>(window + 1));
        EXPECT_EQ(*space.at(window, page_size - 1), static_cast<std::byte>(window + 1));
    }
}

void expect_fault(const arena& space, unsigned window, std::size_t offset) {
    const int status = in_child([&] {
        // A sanitizer's handler would turn the signal into an exit of its own.
        std::signal(SIGSEGV, SIG_DFL);
        limit_to(RLIMIT_CORE, 0);
        *static_cast<volatile std::byte*>(space.at(window, offset)) = std::byte{1};
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << "wait status " << status;
}

TEST_F(arena_windows, a_write_through_a_foreign_window_faults) {
    ASSERT_TRUE(space.map_owner(0, 0, length));
    ASSERT_TRUE(space.map_foreign(1, 0, length));
    expect_fault(space, 1, page_size);
    expect_fault(space, 1, length - 1);
    EXPECT_EQ(*space.at(0, page_size), std::byte{0});
}

TEST_F(arena_windows, what_is_not_mapped_faults) {
    ASSERT_TRUE(space.map_owner(0, unit_size, length));
    expect_fault(space, 0, 0);
    expect_fault(space, 1, unit_size);
    space.unmap(0, unit_size, length);
    expect_fault(space, 0, unit_size);
}

TEST_F(arena_windows, punched_pages_read_as_zero_in_every_window) {
    ASSERT_TRUE(space.map_owner(0, 0, length));
    ASSERT_TRUE(space.map_foreign(1, 0, length));
    arena::populate({space.at(0, 0), length});
    std::memset(space.at(0, 0), 0x77, length);
    ASSERT_EQ(resident_bytes(space), length);
    space.punch(page_size, 2 * page_size);
    EXPECT_EQ(resident_bytes(space), length - 2 * page_size);
    for (const unsigned window : {0U, 1U}) {
        EXPECT_EQ(*space.at(window, page_size), std::byte{0});
        EXPECT_EQ(*space.at(window, 3 * page_size - 1), std::byte{0});
        EXPECT_EQ(*space.at(window, 3 * page_size), std::byte{0x77});
    }
}

TEST_F(arena_windows, addresses_and_places_agree) {
    for (const unsigned window : {0U, 1U, 3U}) {
        for (const std::size_t offset : {std::size_t{0}, unit_size + 5, wanted.capacity - 1}) {
            const std::byte* const address = space.at(window, offset);
            EXPECT_TRUE(space.contains(address));
            EXPECT_EQ(space.window_of(address), window);
            EXPECT_EQ(space.offset_of(address), offset);
        }
    }
    EXPECT_FALSE(space.contains(space.at(0, 0) - 1));
    EXPECT_FALSE(space.contains(space.at(3, wanted.capacity - 1) + 1));
    EXPECT_FALSE(space.contains(space.master_at(0)));
    EXPECT_FALSE(space.contains(nullptr));
    EXPECT_FALSE(space.contains(&space));
    EXPECT_FALSE(arena().contains(space.at(0, 0)));
}

TEST(arena_limits, no_file_descriptor_stays_open) {
    const auto before = open_files();
    arena space;
    ASSERT_TRUE(space.reserve(wanted)) << space.why();
    EXPECT_EQ(open_files(), before);
    ASSERT_TRUE(space.map_owner(0, 0, length) && space.map_foreign(1, 0, length));
    EXPECT_EQ(open_files(), before);
    constexpr auto nothing = [](std::byte*, void*) {};
    EXPECT_EQ(in_child([&] {
                  EXPECT_TRUE(space.refound(nothing, nullptr));
                  EXPECT_EQ(open_files(), before);
              }),
              0);
}

TEST(arena_limits, file_size_limit_halves_the_capacity) {
    EXPECT_EQ(in_child([] {
                  limit_to(RLIMIT_FSIZE, 20 * mebibyte);
                  arena space;
                  ASSERT_TRUE(space.reserve(wanted)) << space.why();
                  EXPECT_EQ(space.capacity(), 16 * mebibyte);
                  EXPECT_STREQ(space.why(), "");
                  ASSERT_TRUE(space.map_owner(3, space.capacity() - length, length));
                  *space.at(3, space.capacity() - 1) = std::byte{1};
              }),
              0);
}

TEST(arena_limits, too_small_a_file_size_limit_means_no_arena) {
    EXPECT_EQ(in_child([] {
                  const auto before = open_files();
                  limit_to(RLIMIT_FSIZE, mebibyte);
                  arena space;
                  EXPECT_FALSE(space.reserve(wanted));
                  EXPECT_NE(std::string(space.why()).find("RLIMIT_FSIZE"), std::string::npos);
                  EXPECT_FALSE(space.contains(nullptr));
                  EXPECT_FALSE(space.contains(&space));
                  limit_to(RLIMIT_FSIZE, RLIM_INFINITY);
                  EXPECT_EQ(open_files(), before);
              }),
              0);
}

TEST(arena_limits, address_space_limit_halves_the_capacity) {
    // Room for two masters and four windows of 32 MiB, not of 64.
    EXPECT_EQ(in_child([] {
                  limit_to(RLIMIT_AS, status_bytes("VmSize") + 6 * 48 * mebibyte);
                  arena space;
                  ASSERT_TRUE(space.reserve(wanted)) << space.why();
                  EXPECT_EQ(space.capacity(), 32 * mebibyte);
              }),
              0);
}

TEST(arena_limits, too_small_an_address_space_means_no_arena) {
    EXPECT_EQ(in_child([] {
                  const auto before = open_files();
                  limit_to(RLIMIT_AS, status_bytes("VmSize") + 32 * mebibyte);
                  arena space;
                  EXPECT_FALSE(space.reserve(wanted));
                  EXPECT_NE(std::string(space.why()).find("RLIMIT_AS"), std::string::npos);
                  limit_to(RLIMIT_AS, RLIM_INFINITY);
                  EXPECT_EQ(open_files(), before);
              }),
              0);
}

/// A memory system that could not start says why, and answers as if there were none (invariant 9).
void expect_usable_or_absent(memory_system& system, bool started) {
    EXPECT_EQ(system.started(), started);
    EXPECT_EQ(std::string(system.space().why()).empty(), started);
    window* const w = system.take_window();
    EXPECT_EQ(w != nullptr, started);
    EXPECT_EQ(system.space().contains(system.space().at(0, 0)), started);
    if (w != nullptr) {
        void* const block = system.allocate(*w, 1, 100'000, 100'000, false);
        EXPECT_NE(block, nullptr);
        EXPECT_NE(system.find(block), nullptr);
        system.release(block);
        system.owner_gone(*w);
    }
}

/// The child's status under this limit: 0 without an arena, 2 with one.
int start_with_room_for(std::size_t extra) {
    const int status = in_child([extra] {
        // Made first: what is tested is the arena, not the room for the object itself.
        const auto system = std::make_unique<memory_system>();
        limit_to(RLIMIT_AS, status_bytes("VmSize") + extra);
        const bool started = system->start(wanted);
        limit_to(RLIMIT_AS, RLIM_INFINITY);
        expect_usable_or_absent(*system, started);
        if (started && !testing::Test::HasFailure()) {
            _exit(2);
        }
    });
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

TEST(memory_limits, every_address_space_limit_ends_in_an_arena_or_a_reason) {
    EXPECT_EQ(start_with_room_for(mebibyte), 0);
    for (std::size_t capacity = 16 * mebibyte; capacity <= wanted.capacity; capacity *= 2) {
        const std::size_t windows = (wanted.windows + 2) * capacity;
        // Room for the windows, then for the windows and a part of the slot table.
        for (std::size_t more = 0; more < mebibyte / 2; more += 64 * 1024) {
            const int status = start_with_room_for(windows + more - 32 * 1024);
            ASSERT_TRUE(status == 0 || status == 2) << capacity << " + " << more << " bytes: " << status;
            EXPECT_TRUE(status == 2 || capacity == 16 * mebibyte) << "half of it would have fitted";
        }
    }
    EXPECT_EQ(start_with_room_for(16 * wanted.capacity), 2);
}

TEST(memory_limits, a_data_limit_shrinks_the_arena_with_its_table) {
    // The table is the one part of the arena that RLIMIT_DATA counts: about 1/170 of the capacity.
    EXPECT_EQ(in_child([] {
                  const auto system = std::make_unique<memory_system>();
                  constexpr options large{.capacity = std::size_t{1} << 30, .windows = 2};
                  limit_to(RLIMIT_DATA, status_bytes("VmData") + 3 * mebibyte);
                  const bool started = system->start(large);
                  limit_to(RLIMIT_DATA, RLIM_INFINITY);
                  EXPECT_TRUE(started) << system->space().why();
                  EXPECT_LT(system->space().capacity(), large.capacity);
                  expect_usable_or_absent(*system, started);
              }),
              0);
}

} // namespace
} // namespace isthmus::core::test

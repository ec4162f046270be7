/// Memory that belongs to no interpreter: it comes zeroed and lazily, goes with its last reference, whoever
/// holds that (core/shared_memory.hpp).

#include "core/parking_lot.hpp"
#include "core/shared_memory.hpp"
#include "core/stats.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <optional>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace isthmus::core::test {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// How many pages from `at` on are in memory; nothing if some of them are no memory of this process.
std::optional<std::size_t> resident_pages(void* at, std::size_t size) {
    std::vector<unsigned char> pages(size / page);
    if (::mincore(at, size, pages.data()) != 0) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(std::ranges::count_if(pages, [](auto each) { return (each & 1) != 0; }));
}

/// Every test leaves the gauges as it found them.
class shared : public ::testing::Test {
  protected:
    void SetUp() override { before_ = gauges(); }
    void TearDown() override { EXPECT_EQ(gauges(), before_); }

    static std::pair<std::uint64_t, std::uint64_t> gauges() {
        return {statistics::gauge(counter::buffers_made, counter::buffers_freed),
                statistics::gauge(counter::buffer_bytes_made, counter::buffer_bytes_freed)};
    }
    [[nodiscard]] std::uint64_t live() const { return gauges().first - before_.first; }
    [[nodiscard]] std::uint64_t bytes() const { return gauges().second - before_.second; }

  private:
    std::pair<std::uint64_t, std::uint64_t> before_;
};

/// A record of an interpreter, without one.
class dweller {
  public:
    dweller() : record(interpreters().attach(this, next_number++, true, false, false)) {}
    ~dweller() { interpreters().gone(record); }
    dweller(const dweller&) = delete;
    dweller& operator=(const dweller&) = delete;
    const interpreter_ref record;

  private:
    static inline std::int64_t next_number = 500;
};

TEST_F(shared, memory_is_zeroed_aligned_and_writable) {
    for (const std::size_t size : {std::size_t{1}, page - 1, page, page + 1, 3 * mebibyte + 5}) {
        const auto block = shared_memory::create(size);
        EXPECT_EQ(block->size(), size);
        EXPECT_EQ(bytes(), size);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block->data()) % page, 0U);
        EXPECT_TRUE(
            std::all_of(block->data(), block->data() + size, [](std::byte b) { return b == std::byte{}; }));
        std::memset(block->data(), 0xff, size);
    }
}

TEST_F(shared, pages_come_when_they_are_touched_and_go_with_the_last_reference) {
    constexpr std::size_t size = 256 * mebibyte;
    auto block = shared_memory::create(size);
    std::byte* const at = block->data();
    EXPECT_EQ(resident_pages(at, size), 0U);
    at[size / 2] = std::byte{1};
    const auto touched = resident_pages(at, size);
    EXPECT_GE(touched, 1U);
    EXPECT_LE(touched, 4 * mebibyte / page) << "one page; a large one where the system makes those";
    const auto other = block;
    block.reset();
    EXPECT_EQ(resident_pages(at, size), touched) << "somebody holds it";
    EXPECT_EQ(live(), 1U);
}

TEST_F(shared, unmapped_when_the_last_reference_goes) {
    auto block = shared_memory::create(mebibyte);
    std::byte* const at = block->data();
    EXPECT_EQ(resident_pages(at, mebibyte), 0U);
    block.reset();
    EXPECT_EQ(resident_pages(at, mebibyte), std::nullopt);
}

TEST_F(shared, nothing_is_a_block_too) {
    const auto first = shared_memory::create(0);
    const auto second = shared_memory::create(0);
    EXPECT_NE(first->data(), nullptr);
    EXPECT_NE(first->data(), second->data());
    EXPECT_EQ(shared_memory::containing(first->data()), nullptr) << "no byte lies there";
    EXPECT_EQ(live(), 2U);
    EXPECT_EQ(bytes(), 0U);
}

TEST_F(shared, what_is_too_large_is_refused) {
    constexpr auto largest = std::numeric_limits<std::size_t>::max();
    for (const std::size_t size : {largest, largest - page, largest / 2, largest / 2 - page}) {
        EXPECT_THROW(static_cast<void>(shared_memory::create(size)), std::bad_alloc) << size;
    }
    EXPECT_EQ(live(), 0U);
}

TEST_F(shared, a_byte_tells_its_block) {
    int elsewhere = 0;
    EXPECT_EQ(shared_memory::containing(&elsewhere), nullptr);
    std::vector<std::shared_ptr<shared_memory>> blocks; // neighbours, as the kernel places them
    for (std::size_t i = 1; i <= 20; ++i) {
        blocks.push_back(shared_memory::create(i * page));
    }
    for (const auto& each : blocks) {
        EXPECT_EQ(shared_memory::containing(each->data()), each);
        EXPECT_EQ(shared_memory::containing(each->data() + each->size() - 1), each);
        EXPECT_NE(shared_memory::containing(each->data() + each->size()), each);
        EXPECT_NE(shared_memory::containing(each->data() - 1), each);
    }
    EXPECT_EQ(shared_memory::containing(&elsewhere), nullptr);
    EXPECT_EQ(shared_memory::containing(nullptr), nullptr);
    EXPECT_EQ(shared_memory::containing(reinterpret_cast<void*>(~std::uintptr_t{0})), nullptr);
}

TEST_F(shared, freed_when_the_last_of_several_interpreters_drops_it) {
    const dweller one;
    const dweller two;
    for (const bool first_goes_first : {true, false}) {
        auto block = shared_memory::create(page);
        auto here = std::make_unique<memory_hold>(one.record, block);
        auto there = std::make_unique<memory_hold>(two.record, block);
        block.reset();
        (first_goes_first ? here : there).reset();
        EXPECT_EQ(live(), 1U);
        (first_goes_first ? there : here).reset();
        EXPECT_EQ(live(), 0U);
        EXPECT_EQ(one.record->holds, nullptr);
        EXPECT_EQ(two.record->holds, nullptr);
    }
}

TEST_F(shared, holds_end_in_any_order) {
    const dweller one;
    std::vector<std::unique_ptr<memory_hold>> holds;
    for (int i = 0; i < 5; ++i) {
        holds.push_back(std::make_unique<memory_hold>(one.record, shared_memory::create(page)));
    }
    std::uint64_t left = 5;
    for (const std::size_t each : {2U, 0U, 4U, 3U, 1U}) { // the middle, both ends, what became them
        holds[each].reset();
        EXPECT_EQ(live(), --left);
    }
    EXPECT_EQ(one.record->holds, nullptr);
}

TEST_F(shared, an_interpreter_that_freed_nothing_holds_nothing_once_it_is_gone) {
    const auto kept = shared_memory::create(page);
    {
        const dweller one;
        for (int i = 0; i < 3; ++i) { // objects that are never freed
            new memory_hold(one.record, shared_memory::create(mebibyte));
            new memory_hold(one.record, kept);
        }
        EXPECT_EQ(live(), 4U);
    }
    EXPECT_EQ(live(), 1U) << "what another one holds";
    kept->data()[0] = std::byte{1};
}

TEST_F(shared, threads_make_find_and_drop_at_once) {
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i) {
                auto mine = shared_memory::create(page);
                std::byte* const last = mine->data() + page - 1;
                *last = std::byte{7};
                auto found = shared_memory::containing(last);
                wrong += found != mine ? 1 : 0;
                mine.reset();
                wrong += *last != std::byte{7} ? 1 : 0; // the other reference holds it
            }
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    EXPECT_EQ(wrong, 0);
}

TEST_F(shared, a_forked_child_has_a_copy_and_finds_nobody_parked) {
    const auto block = shared_memory::create(page);
    block->data()[0] = std::byte{1};
    const auto by = party::create();
    std::thread sleeper([&] {
        wait_site site;
        EXPECT_EQ(parking_lot::park_while(
                      block->data(), [] { return true; }, *by, std::nullopt, site),
                  outcome::ok);
    });
    while (parking_lot::parked_at(block->data()) == 0) {
        std::this_thread::yield();
    }
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const bool well = parking_lot::unpark(block->data(), 1) == 0 &&
                          parking_lot::parked_at(block->data()) == 0 && block->data()[0] == std::byte{1} &&
                          shared_memory::containing(block->data()) == block;
        block->data()[0] = std::byte{2};
        ::_exit(well ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(block->data()[0], std::byte{1});
    EXPECT_EQ(parking_lot::unpark(block->data(), 1), 1U);
    sleeper.join();
}

} // namespace
} // namespace isthmus::core::test

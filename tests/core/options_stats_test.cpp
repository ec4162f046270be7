/// Sizes from the environment, and counters that add up (invariant 10).

#include "core/options.hpp"
#include "core/stats.hpp"

#include <atomic>
#include <bit>
#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

/// A variable with another value, until the scope ends.
class environment {
  public:
    environment(const char* name, const char* value) : name_(name) {
        if (const char* old = std::getenv(name); old != nullptr) {
            before_ = old;
        }
        value != nullptr ? setenv(name, value, 1) : unsetenv(name);
    }
    ~environment() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
    environment(const environment&) = delete;
    environment& operator=(const environment&) = delete;

  private:
    const char* name_;
    std::optional<std::string> before_;
};

TEST(options, defaults_fit_the_machine) {
    std::vector<std::unique_ptr<environment>> unset;
    for (const char* name : {"ISTHMUS_CAPACITY", "ISTHMUS_WINDOWS", "ISTHMUS_BUDGET", "ISTHMUS_MAPPING_CAP",
                             "ISTHMUS_THRESHOLD"}) {
        unset.push_back(std::make_unique<environment>(name, nullptr));
    }
    const options chosen = options::from_environment();
    EXPECT_TRUE(std::has_single_bit(chosen.capacity));
    EXPECT_GE(chosen.windows, 2U);
    EXPECT_LE(chosen.windows, max_windows);
    EXPECT_GE(chosen.budget, std::size_t{64} << 20);
    EXPECT_LE(chosen.budget, std::size_t{1} << 30);
    EXPECT_GT(chosen.mapping_cap, 0U);
    EXPECT_EQ(chosen.threshold, std::size_t{64} << 10);
}

struct size_case {
    const char* text;
    std::size_t expected; ///< 0: as if the variable were not there
};

TEST(options, sizes_have_suffixes_and_nonsense_is_ignored) {
    const environment unset("ISTHMUS_BUDGET", nullptr);
    const std::size_t by_default = options::from_environment().budget;
    for (const auto& [text, expected] :
         {size_case{"12345", 12'345}, size_case{"64K", 64 << 10}, size_case{"3M", 3 << 20},
          size_case{"2G", std::size_t{2} << 30}, size_case{"1T", std::size_t{1} << 40}, size_case{"", 0},
          size_case{"0", 0}, size_case{"-5", 0}, size_case{"64k", 0}, size_case{"64KB", 0}, size_case{"K", 0},
          size_case{" 64", 0}, size_case{"1.5G", 0}, size_case{"99999999999999999999", 0},
          size_case{"99999999999T", 0}}) {
        const environment set("ISTHMUS_BUDGET", text);
        EXPECT_EQ(options::from_environment().budget, expected != 0 ? expected : by_default) << text;
    }
}

TEST(options, extremes_are_brought_within_bounds) {
    {
        const environment capacity("ISTHMUS_CAPACITY", "100G"); // not a power of two
        const environment windows("ISTHMUS_WINDOWS", "100000");
        const environment threshold("ISTHMUS_THRESHOLD", "1");
        const environment cap("ISTHMUS_MAPPING_CAP", "77");
        const options chosen = options::from_environment();
        EXPECT_EQ(chosen.capacity, std::size_t{64} << 30);
        EXPECT_EQ(chosen.windows, max_windows);
        EXPECT_EQ(chosen.threshold, page_size);
        EXPECT_EQ(chosen.mapping_cap, 77U);
    }
    const environment capacity("ISTHMUS_CAPACITY", "1");
    const environment windows("ISTHMUS_WINDOWS", "1");
    const environment threshold("ISTHMUS_THRESHOLD", "1T");
    const options chosen = options::from_environment();
    EXPECT_EQ(chosen.capacity, std::size_t{16} << 20);
    EXPECT_EQ(chosen.windows, 2U);
    EXPECT_EQ(chosen.threshold, std::size_t{16} << 20);
}

TEST(statistics, counters_add_up_over_threads) {
    const std::uint64_t before = statistics::read(counter::payload_bytes_copied);
    std::vector<std::thread> threads;
    for (std::uint64_t t = 1; t <= 40; ++t) { // more threads than shards
        threads.emplace_back([t] {
            for (int n = 0; n < 500; ++n) {
                statistics::add(counter::payload_bytes_copied, t);
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(statistics::read(counter::payload_bytes_copied) - before, 500U * 40U * 41U / 2U);
}

TEST(statistics, a_gauge_is_never_negative) {
    const std::uint64_t before = statistics::gauge(counter::twins_made, counter::twins_dropped);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            while (!stop.load(std::memory_order_relaxed)) {
                statistics::add(counter::twins_made);
                statistics::add(counter::twins_dropped);
            }
        });
    }
    for (int n = 0; n < 20'000; ++n) {
        // Below zero would be a number near 2^64.
        ASSERT_LT(statistics::gauge(counter::twins_made, counter::twins_dropped), std::uint64_t{1} << 40);
    }
    stop.store(true);
    for (std::thread& t : threads) {
        t.join();
    }
    EXPECT_EQ(statistics::gauge(counter::twins_made, counter::twins_dropped), before);
}

TEST(statistics, a_gauge_of_what_went_down_without_going_up_is_zero) {
    statistics::add(counter::fallback_copies, 5);
    statistics::add(counter::helper_entries, statistics::read(counter::fallback_copies) + 7);
    EXPECT_EQ(statistics::gauge(counter::fallback_copies, counter::helper_entries), 0U);
}

} // namespace
} // namespace isthmus::core::test

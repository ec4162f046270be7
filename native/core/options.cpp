#include "core/options.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>

namespace isthmus::core {
namespace {

/// "64", "64K", "8G": powers of 1024.
std::optional<std::size_t> parse_size(std::string_view text) {
    std::size_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || value == 0) {
        return std::nullopt;
    }
    const std::string_view suffix(rest, text.size() - static_cast<std::size_t>(rest - text.data()));
    if (suffix.empty()) {
        return value;
    }
    constexpr std::string_view letters = "KMGT";
    const auto place = letters.find(suffix.front());
    if (suffix.size() != 1 || place == std::string_view::npos) {
        return std::nullopt;
    }
    const unsigned shift = 10U * (static_cast<unsigned>(place) + 1U);
    return value > (SIZE_MAX >> shift) ? std::nullopt : std::optional(value << shift);
}

void read_variable(const char* name, std::size_t& target) {
    if (const char* text = std::getenv(name); text != nullptr) {
        target = parse_size(text).value_or(target);
    }
}

/// The first line of a file of the kernel's; empty if there is none.
std::string first_line(const std::string& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

/// The least that `file` says in the control group `path` below `root` and in those it is part of; SIZE_MAX:
/// no limit.
std::size_t least_limit(const std::string& root, std::string path, const char* file) {
    std::size_t least = SIZE_MAX;
    for (;;) {
        least = std::min(least, parse_size(first_line(root + path + file)).value_or(SIZE_MAX));
        if (path.size() <= 1) {
            return least;
        }
        path.resize(std::max<std::size_t>(path.rfind('/', path.size() - 2) + 1, 1));
    }
}

/// What the control groups of this process let it have. In a container the path may be one of the host's;
/// then that of the root, where the container's own lies, is all that is found.
std::size_t control_group_limit() {
    constexpr std::string_view first = ":memory:";
    constexpr std::string_view second = "0::";
    std::size_t least = SIZE_MAX;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (const auto place = line.find(first); place != std::string::npos) {
            const std::string path = line.substr(place + first.size()) + "/";
            least = std::min(least, least_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
        } else if (line.starts_with(second)) {
            const std::string path = line.substr(second.size()) + "/";
            least = std::min(least, least_limit("/sys/fs/cgroup", path, "memory.max"));
        }
    }
    return least;
}

/// Idle blocks are of use to nobody else, and the kernel cannot take them back.
std::size_t default_budget() {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const std::size_t memory = pages > 0 ? static_cast<std::size_t>(pages) * page_size : 0;
    const std::size_t budget = std::clamp(memory / 16, std::size_t{64} << 20, std::size_t{1} << 30);
    return std::min(budget, control_group_limit() / 8);
}

std::size_t default_mapping_cap() {
    std::size_t limit = 65530;
    if (std::FILE* file = std::fopen("/proc/sys/vm/max_map_count", "re"); file != nullptr) {
        char text[32] = {};
        if (std::fgets(text, sizeof text, file) != nullptr) {
            text[std::strcspn(text, "\n")] = '\0';
            limit = parse_size(text).value_or(limit);
        }
        std::fclose(file);
    }
    return limit / 8 * 3;
}

} // namespace

options options::from_environment() {
    options chosen;
    chosen.budget = default_budget();
    chosen.mapping_cap = default_mapping_cap();
#if defined(__SANITIZE_THREAD__)
    // ThreadSanitizer's shadow leaves room for less than 8 TiB of reservations.
    chosen.capacity = std::size_t{4} << 30;
    chosen.windows = 16;
#endif
    read_variable("ISTHMUS_CAPACITY", chosen.capacity);
    std::size_t windows = chosen.windows;
    read_variable("ISTHMUS_WINDOWS", windows);
    read_variable("ISTHMUS_BUDGET", chosen.budget);
    read_variable("ISTHMUS_MAPPING_CAP", chosen.mapping_cap);
    read_variable("ISTHMUS_THRESHOLD", chosen.threshold);
    chosen.windows = static_cast<unsigned>(std::clamp<std::size_t>(windows, 2, max_windows));
    chosen.capacity =
        std::bit_floor(std::clamp(chosen.capacity, std::size_t{16} << 20, std::size_t{1} << 40));
    chosen.threshold = std::clamp(chosen.threshold, least_threshold, std::size_t{16} << 20);
    return chosen;
}

} // namespace isthmus::core

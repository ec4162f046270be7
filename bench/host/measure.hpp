/// Contenders measured side by side, as isthmus.cli._bench.measure does: one batch of each in turn, so that
/// drift hits all alike.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct settings {
    int rounds;
    double batch_seconds;
};

struct contender {
    std::string name;
    /// Does the work `count` times; returns nanoseconds for each.
    std::function<double(long count)> batch;
    long most = 1'000'000;
    std::vector<double> samples = {};
};

/// Fills the samples. How many a batch has is found out before, which also warms everything up.
void measure(std::vector<contender>& all, const settings& how);

/// `work()`, `count` times: nanoseconds for each.
template <typename Work> std::function<double(long)> repeated(Work work);

[[nodiscard]] double seconds() noexcept;

template <typename Work> std::function<double(long)> repeated(Work work) {
    return [work = std::move(work)](long count) mutable {
        const double start = seconds();
        for (long i = 0; i < count; ++i) {
            work();
        }
        return (seconds() - start) * 1e9 / static_cast<double>(count);
    };
}

} // namespace bench

#include "measure.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace bench {
namespace {

long fitting_count(contender& one, const settings& how) {
    one.batch(1);
    for (long count = 1;;) {
        const double start = seconds();
        one.batch(count);
        const double elapsed = std::max(seconds() - start, 1e-9);
        if (elapsed >= how.batch_seconds / 4 || count >= one.most) {
            const double fitting = static_cast<double>(count) * how.batch_seconds / elapsed;
            return std::clamp(std::lround(fitting), 1L, one.most);
        }
        count = std::min(one.most, count * 4);
    }
}

} // namespace

double seconds() noexcept {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

void measure(std::vector<contender>& all, const settings& how) {
    std::vector<long> counts;
    for (contender& each : all) {
        counts.push_back(fitting_count(each, how));
    }
    for (int round = 0; round < how.rounds; ++round) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i].samples.push_back(all[i].batch(counts[i]));
        }
    }
}

} // namespace bench

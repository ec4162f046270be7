/// The floor for round trips between two threads of this machine: a raw futex, nothing above it.
///
///     futex_pingpong asleep|awake ROUND_TRIPS GAP_US [CPU_A CPU_B]
///
/// asleep  each side idles GAP_US microseconds (clock_nanosleep) before it wakes the other, which by then
///         sleeps on its futex. A round trip is the sum of its two hops, each timed from just before the
///         store and the wake-up to the moment at which the sleeper runs again, so the gaps are not in it.
/// awake   both sides spin on the words; GAP_US is not used.
///
/// Prints one JSON object: {"mode": ..., "round_trips_ns": [...]}, in order. CPU_A and CPU_B pin the two
/// threads. Exit status 2 for a wrong call, 1 if the system refuses.
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/syscall.h>
#include <system_error>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace {

using nanoseconds = std::int64_t;

struct plan {
    bool asleep = true;
    std::uint32_t round_trips = 0;
    nanoseconds gap = 0;
    int first_cpu = -1; ///< -1: wherever the scheduler puts it
    int second_cpu = -1;
};

nanoseconds now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return nanoseconds{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void idle(nanoseconds length) {
    timespec left{length / 1'000'000'000, length % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

/// One direction: a counter of the messages sent so far, and when the last one was sent.
struct alignas(64) direction {
    std::atomic<std::uint32_t> count{0};
    /// Written before `count` is advanced (release), read after the advance was seen (acquire).
    nanoseconds sent_at = 0;

    void send(bool wake) {
        sent_at = now();
        const std::uint32_t next = count.load(std::memory_order_relaxed) + 1;
        count.store(next, std::memory_order_release);
        if (wake) {
            syscall(SYS_futex, &count, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
        }
    }

    /// Waits for message number `number`; returns how long it was under way.
    nanoseconds receive(std::uint32_t number, bool sleep) {
        for (;;) {
            const std::uint32_t seen = count.load(std::memory_order_acquire);
            if (seen == number) {
                return now() - sent_at;
            }
            if (sleep) {
                syscall(SYS_futex, &count, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
            } else {
#if defined(__x86_64__) || defined(__i386__)
                __builtin_ia32_pause();
#endif
            }
        }
    }
};

void pin(int cpu) {
    if (cpu < 0) {
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set); error != 0) {
        throw std::system_error(error, std::generic_category(), "pinning a thread");
    }
}

/// Answers every message; records how long each was under way, for the other side to read after the join.
void answer(const plan& how, direction& there, direction& back, std::vector<nanoseconds>& hops) {
    pin(how.second_cpu);
    for (std::uint32_t n = 1; n <= how.round_trips; ++n) {
        hops[n - 1] = there.receive(n, how.asleep);
        if (how.asleep) {
            idle(how.gap);
        }
        back.send(how.asleep);
    }
}

std::vector<nanoseconds> measure(const plan& how) {
    direction there;
    direction back;
    std::vector<nanoseconds> first(how.round_trips);
    std::vector<nanoseconds> total(how.round_trips);
    pin(how.second_cpu); // a CPU that can't be had fails here, before there is a thread that waits for us
    pin(how.first_cpu);
    std::thread other(answer, std::cref(how), std::ref(there), std::ref(back), std::ref(first));
    for (std::uint32_t n = 1; n <= how.round_trips; ++n) {
        const nanoseconds start = now();
        if (how.asleep) {
            idle(how.gap);
        }
        there.send(how.asleep);
        const nanoseconds hop = back.receive(n, how.asleep);
        total[n - 1] = how.asleep ? hop : now() - start;
    }
    other.join();
    for (std::uint32_t n = 0; how.asleep && n < how.round_trips; ++n) {
        total[n] += first[n];
    }
    return total;
}

template <class number> number parse(std::string_view text) {
    number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
        throw std::invalid_argument("not a number that can be used: " + std::string(text));
    }
    return value;
}

plan parse_call(int count, char** words) {
    if (count != 4 && count != 6) {
        throw std::invalid_argument("usage: futex_pingpong asleep|awake ROUND_TRIPS GAP_US [CPU_A CPU_B]");
    }
    const std::string_view mode = words[1];
    if (mode != "asleep" && mode != "awake") {
        throw std::invalid_argument("the first argument is asleep or awake");
    }
    plan how;
    how.asleep = mode == "asleep";
    how.round_trips = static_cast<std::uint32_t>(parse<std::int32_t>(words[2]));
    how.gap = nanoseconds{parse<std::int32_t>(words[3])} * 1'000;
    if (count == 6) {
        how.first_cpu = parse<int>(words[4]);
        how.second_cpu = parse<int>(words[5]);
        if (how.first_cpu >= CPU_SETSIZE || how.second_cpu >= CPU_SETSIZE) {
            throw std::invalid_argument("no such CPU");
        }
    }
    return how;
}

} // namespace

int main(int count, char** words) {
    try {
        const plan how = parse_call(count, words);
        const std::vector<nanoseconds> samples = measure(how);
        std::printf(R"({"mode": "%s", "round_trips_ns": [)", how.asleep ? "asleep" : "awake");
        for (std::size_t i = 0; i < samples.size(); ++i) {
            std::printf("%s%lld", i == 0 ? "" : ", ", static_cast<long long>(samples[i]));
        }
        std::printf("]}\n");
        return 0;
    } catch (const std::invalid_argument& wrong) {
        std::fprintf(stderr, "futex_pingpong: %s\n", wrong.what());
        return 2;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "futex_pingpong: %s\n", failure.what());
        return 1;
    }
}

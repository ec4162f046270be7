// What a message costs in the channel itself, without an interpreter at either end.
#include "core/channel.hpp"

#include <array>
#include <atomic>
#include <benchmark/benchmark.h>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

namespace {

using namespace isthmus::core;

message numbered(std::uint64_t n) {
    std::array<std::byte, sizeof n> bytes;
    std::memcpy(bytes.data(), &n, sizeof n);
    return message(1, bytes);
}

/// A channel with one sender and one receiver.
struct line {
    explicit line(std::optional<std::size_t> capacity) : way(channel::create(capacity)) {
        way->add_holder(end::send, *from);
        way->add_holder(end::recv, *to);
    }
    std::shared_ptr<party> from = party::create();
    std::shared_ptr<party> to = party::create();
    std::shared_ptr<channel> way;
};

bool send(line& l, std::uint64_t n) {
    message m = numbered(n);
    wait_site site;
    return l.way->send(*l.from, m, std::nullopt, site) == outcome::ok;
}

bool receive(line& l, message& m) {
    wait_site site;
    return l.way->recv(*l.to, m, std::nullopt, site) == outcome::ok;
}

/// One thread puts a message in and takes it out: the cost of both without waiting.
void send_and_receive_on_one_thread(benchmark::State& state) {
    line l(std::nullopt);
    message out;
    std::uint64_t n = 0;
    for (auto _ : state) {
        message m = numbered(++n);
        if (l.way->try_send(*l.from, m) != outcome::ok || l.way->try_recv(*l.to, out) != outcome::ok) {
            state.SkipWithError("the channel refused");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(send_and_receive_on_one_thread);

/// Puts `depth` messages in, then takes them out: chunks are reused, the two ends share no cache line.
void fill_and_drain(benchmark::State& state) {
    line l(std::nullopt);
    message out;
    const std::int64_t depth = state.range(0);
    for (auto _ : state) {
        bool good = true;
        for (std::int64_t n = 0; n < depth; ++n) {
            message m = numbered(static_cast<std::uint64_t>(n));
            good = good && l.way->try_send(*l.from, m) == outcome::ok;
        }
        for (std::int64_t n = 0; n < depth; ++n) {
            good = good && l.way->try_recv(*l.to, out) == outcome::ok;
        }
        if (!good) {
            state.SkipWithError("the channel refused");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations() * depth);
}
BENCHMARK(fill_and_drain)->Arg(16)->Arg(1024)->Arg(65536);

/// The benchmark's thread streams to a receiving thread. Argument: capacity, -1 for unbounded.
void stream_to_a_thread(benchmark::State& state) {
    std::optional<std::size_t> capacity;
    if (state.range(0) >= 0) {
        capacity = static_cast<std::size_t>(state.range(0));
    }
    line l(capacity);
    std::thread receiver([&l] {
        message m;
        while (receive(l, m)) {
        }
    });
    std::uint64_t n = 0;
    for (auto _ : state) {
        if (!send(l, ++n)) {
            state.SkipWithError("the channel refused");
            break;
        }
    }
    l.way->close(end::send, *l.from);
    receiver.join(); // it drains the rest first
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(stream_to_a_thread)->Arg(0)->Arg(64)->Arg(1024)->Arg(-1)->UseRealTime();

/// A message there and one back between two threads that stay awake.
void round_trip(benchmark::State& state) {
    const auto capacity = static_cast<std::size_t>(state.range(0));
    line there(capacity);
    line back(capacity);
    std::thread echo([&] {
        message m;
        std::uint64_t n = 0;
        while (receive(there, m) && send(back, ++n)) {
        }
    });
    message m;
    std::uint64_t n = 0;
    for (auto _ : state) {
        if (!send(there, ++n) || !receive(back, m)) {
            state.SkipWithError("the channel refused");
            break;
        }
    }
    there.way->close(end::send, *there.from);
    echo.join();
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(round_trip)->Arg(0)->Arg(1)->UseRealTime();

} // namespace

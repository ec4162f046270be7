// What the slot protocol, the inbox and the slot allocator cost by themselves.
#include "core/memory.hpp"

#include <array>
#include <benchmark/benchmark.h>
#include <cstddef>
#include <cstdlib>

namespace {

using namespace isthmus::core;

/// A window of the real arena, given back at the end.
class tenant {
  public:
    tenant() {
        if (memory().start(options::from_environment())) {
            window_ = memory().take_window();
        }
    }
    ~tenant() {
        if (window_ != nullptr) {
            memory().owner_gone(*window_);
        }
    }
    tenant(const tenant&) = delete;
    tenant& operator=(const tenant&) = delete;

    [[nodiscard]] window* get() const noexcept { return window_; }

  private:
    window* window_ = nullptr;
};

/// A whole sharing period as the owner sees it: share, drop, the release posted and settled.
void sharing_period(benchmark::State& state) {
    slot s;
    inbox box;
    for (auto _ : state) {
        if (!protocol::share_by_owner(s) || protocol::drop(s) != protocol::after_drop::post_release) {
            state.SkipWithError("the slot is in a state that it cannot have");
            break;
        }
        box.post(s);
        inbox_node* node = box.drain();
        if (node != &s || protocol::settle(s) != protocol::after_settle::drop_keeper) {
            state.SkipWithError("the release was lost");
            break;
        }
    }
}
BENCHMARK(sharing_period);

/// Another claim by somebody who holds one, and its end: what each further receiver costs.
void further_share(benchmark::State& state) {
    slot s;
    if (!protocol::share_by_owner(s)) {
        state.SkipWithError("the slot was shared");
        return;
    }
    for (auto _ : state) {
        add_share(s);
        drop_share(s);
    }
}
BENCHMARK(further_share);

/// 1,024 releases posted one by one, drained together.
void post_and_drain(benchmark::State& state) {
    std::array<inbox_node, 1024> nodes{};
    inbox box;
    for (auto _ : state) {
        for (inbox_node& node : nodes) {
            benchmark::DoNotOptimize(box.post(node));
        }
        benchmark::DoNotOptimize(box.drain());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(nodes.size()));
}
BENCHMARK(post_and_drain);

/// A block of a warm slot, made and freed, nothing written. Argument: bytes.
void warm_slot(benchmark::State& state) {
    tenant here;
    if (here.get() == nullptr) {
        state.SkipWithError(memory().space().why());
        return;
    }
    const auto size = static_cast<std::size_t>(state.range(0));
    if (void* first = memory().allocate(*here.get(), 1, size, size, false); first != nullptr) {
        memory().release(first); // warm from now on
    }
    for (auto _ : state) {
        void* block = memory().allocate(*here.get(), 1, size, size, false);
        if (block == nullptr) {
            state.SkipWithError("no slot");
            break;
        }
        benchmark::DoNotOptimize(block);
        memory().release(block);
    }
}
BENCHMARK(warm_slot)->RangeMultiplier(16)->Range(64 << 10, 256 << 20);

/// Its peer: the same with the C library's malloc.
void malloc_and_free(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {
        void* block = std::malloc(size);
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
}
BENCHMARK(malloc_and_free)->RangeMultiplier(16)->Range(64 << 10, 256 << 20);

} // namespace

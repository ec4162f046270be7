#include "cpython/hook.hpp"

#include "cpython/current.hpp"
#include "cpython/lifecycle.hpp"
#include "cpython/refs.hpp"

#include "core/stats.hpp"

#include <algorithm>
#include <cstring>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace isthmus::py {
namespace {

/// What was there before us. Constant once the hook is installed.
constinit PyMemAllocatorEx original{};
/// The windows' addresses, copied here once so that a free costs no look at the runtime.
constinit std::uintptr_t arena_begin = 0;
constinit std::size_t arena_size = 0;
/// Smallest size that is looked at; `never` while placement is off, so that one comparison decides. Atomic:
/// read by every thread.
constexpr std::size_t never = SIZE_MAX;
constinit std::atomic<std::size_t> threshold{never};
/// What is looked at is placed. Not so while a probe has lowered the threshold before that.
constinit std::atomic<bool> placing{false};
/// What a probe asks for while placement is off. It must be had: not every allocator in the chain bears a
/// refusal.
constexpr std::size_t probe_size = std::size_t{1} << 20;
/// The allocator that was on top when a probe last landed in a slot (tracemalloc may wrap us).
constinit PyMemAllocatorEx proved{};

core::window* placing_window(core::interpreter*& record) noexcept {
    record = current_interpreter();
    return record != nullptr && record->open() ? record->view : nullptr;
}

/// Set whenever this thread asks for a block that is large enough: tells a probe that the hook is in the
/// chain, even when no slot could be had.
thread_local constinit bool asked = false;

void* place(std::size_t size, std::size_t expected, bool zero) noexcept {
    asked = true;
    core::interpreter* record = nullptr;
    core::window* const view = placement_is_on() ? placing_window(record) : nullptr;
    return view != nullptr ? core::memory().allocate(*view, record->identity, size, expected, zero) : nullptr;
}

/// Addresses cost nothing, copies do: a block that grows gets room to grow in place, less so when it is large
/// already.
std::size_t with_headroom(std::size_t size) noexcept {
    const std::size_t capacity = core::memory().space().capacity();
    return std::max({size, std::min(size * 64, capacity / 1024), std::min(size * 4, capacity / 64)});
}

// The four functions below run for every object CPython makes: what is not large leaves by a tail call after
// one comparison, and everything else is out of line, so that no stack frame is set up for it.

[[gnu::noinline, gnu::cold]] void* malloc_large(void* ctx, std::size_t size) {
    void* const placed = place(size, size, false);
    return placed != nullptr ? placed : original.malloc(ctx, size);
}

[[gnu::noinline, gnu::cold]] void* calloc_large(void* ctx, std::size_t count, std::size_t each) {
    void* const placed = place(count * each, count * each, true);
    return placed != nullptr ? placed : original.calloc(ctx, count, each);
}

[[gnu::noinline]] void free_placed(void* block) {
    core::memory().release(block);
}

bool in_arena(const void* block) noexcept {
    return reinterpret_cast<std::uintptr_t>(block) - arena_begin < arena_size;
}

void* hook_malloc(void* ctx, std::size_t size) {
    if (size >= threshold.load(std::memory_order_relaxed)) [[unlikely]] {
        return malloc_large(ctx, size);
    }
    return original.malloc(ctx, size);
}

void* hook_calloc(void* ctx, std::size_t count, std::size_t each) {
    std::size_t size = 0;
    if (!__builtin_mul_overflow(count, each, &size) && size >= threshold.load(std::memory_order_relaxed))
        [[unlikely]] {
        return calloc_large(ctx, count, each);
    }
    return original.calloc(ctx, count, each);
}

void hook_free(void* ctx, void* block) {
    if (in_arena(block)) [[unlikely]] {
        free_placed(block);
        return;
    }
    original.free(ctx, block);
}

/// A plain block that grows across the threshold enters a slot.
[[gnu::noinline]] void* grow_into_slot(void* ctx, void* block, std::size_t size) {
    // The old size is unknown, so the old allocator grows it first; then all of it may be read.
    void* const grown = original.realloc(ctx, block, size);
    if (grown == nullptr) {
        return nullptr;
    }
    void* const placed = place(size, with_headroom(size), false);
    if (placed == nullptr) {
        return grown;
    }
    std::memcpy(placed, grown, size);
    original.free(ctx, grown);
    return placed;
}

/// Somewhere else for what lies at `block`: a slot if it is large, the old allocator if it is small or there
/// is no room.
void* move_out(void* ctx, void* block, std::size_t kept, std::size_t size, std::size_t expected) {
    void* fresh = size >= threshold.load(std::memory_order_relaxed) ? place(size, expected, false) : nullptr;
    if (fresh == nullptr) {
        fresh = original.malloc(ctx, size);
    }
    if (fresh != nullptr) {
        std::memcpy(fresh, block, kept);
    }
    return fresh;
}

[[gnu::noinline]] void* realloc_slot(void* ctx, void* block, std::size_t size) {
    core::memory_system& memory = core::memory();
    core::slot* const s = memory.find(block);
    if (s == nullptr) {
        return nullptr; // not a block of ours although in our addresses: refuse, touch nothing
    }
    const std::size_t old_size = s->bytes.load(std::memory_order_relaxed);
    const std::size_t kept = std::min(old_size, size);
    const bool ours = s->owner_window.load(std::memory_order_relaxed) == memory.space().window_of(block);
    if (!ours || s->word.load(std::memory_order_acquire) != 0) {
        // A twin, or a shared original: others read the payload, so it is copied out (design section 5). The
        // keeper makes the second case unreachable for CPython itself; there the old block stays with its
        // keeper.
        void* const fresh = move_out(ctx, block, kept, size, size);
        if (fresh != nullptr) {
            core::statistics::add(core::counter::payload_bytes_copied, kept);
            if (!ours) {
                memory.release(block);
            }
        }
        return fresh;
    }
    const bool leaves = size < threshold.load(std::memory_order_relaxed);
    const bool wasteful = s->block_size() > (std::size_t{1} << 20) && size < old_size / 4;
    if (!leaves && !wasteful && size <= s->room()) {
        memory.resize(*s, size);
        return block;
    }
    void* const fresh = move_out(ctx, block, kept, size, size > old_size ? with_headroom(size) : size);
    if (fresh != nullptr) {
        memory.release(block);
        return fresh;
    }
    // A block may always stay where it is when it only shrinks.
    return size <= old_size ? block : nullptr;
}

void* hook_realloc(void* ctx, void* block, std::size_t size) {
    if (in_arena(block)) [[unlikely]] {
        return realloc_slot(ctx, block, size);
    }
    if (size < threshold.load(std::memory_order_relaxed)) [[likely]] {
        return original.realloc(ctx, block, size);
    }
    return block == nullptr ? hook_malloc(ctx, size) : grow_into_slot(ctx, block, size);
}

/// Wraps the allocator that is on top now.
void wrap() noexcept {
    PyMemAllocatorEx now{};
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &now);
    if (now.malloc == hook_malloc) {
        return; // another thread's doing, just now
    }
    original = now;
    const core::arena& space = core::memory().space();
    arena_begin = reinterpret_cast<std::uintptr_t>(space.at(0, 0));
    arena_size = space.capacity() * space.windows();
    PyMemAllocatorEx hook{now.ctx, hook_malloc, hook_calloc, hook_realloc, hook_free};
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &hook);
    proved = hook;
}

bool same(const PyMemAllocatorEx& a, const PyMemAllocatorEx& b) noexcept {
    return a.ctx == b.ctx && a.malloc == b.malloc && a.free == b.free;
}

/// A large object allocation goes through the hook, whatever else is in the chain.
bool reached() noexcept {
    for (;;) {
        std::size_t seen = never;
        const bool lowered = threshold.compare_exchange_strong(seen, probe_size);
        asked = false;
        PyObject_Free(PyObject_Malloc(lowered ? probe_size : seen));
        if (lowered) {
            std::size_t mine = probe_size;
            threshold.compare_exchange_strong(mine, never);
            return asked;
        }
        if (asked || threshold.load() == seen) {
            return asked;
        }
        // Another thread's probe ended in the middle of this one.
    }
}

bool is_on_top() noexcept {
    PyMemAllocatorEx now{};
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &now);
    return same(now, proved);
}

/// All threads of the process have executed a full barrier since the call began.
bool barrier_everywhere() noexcept {
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 ||
           syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0;
}

/// Stops tracemalloc, wraps, starts it again: otherwise its stop would take us out with it, and slots would
/// reach free(). In the main interpreter: its module loads in no other.
void wrap_under_tracemalloc() {
    const ref tracemalloc = require(PyImport_ImportModule("_tracemalloc"));
    const ref frames = require(PyObject_CallMethod(tracemalloc.get(), "get_traceback_limit", nullptr));
    check(PyObject_CallMethod(tracemalloc.get(), "stop", nullptr));
    wrap();
    check(PyObject_CallMethod(tracemalloc.get(), "start", "O", frames.get()));
    require(PyErr_WarnEx(
        PyExc_RuntimeWarning,
        "isthmus restarted tracemalloc to put its allocator hook below it; traces taken before are gone", 1));
}

} // namespace

bool install_hook() {
    // A host that initialises CPython again begins with CPython's own allocators.
    if (original.malloc != nullptr && (is_on_top() || reached())) {
        return true;
    }
    if (!compat::tracemalloc_is_on()) {
        wrap();
        return true;
    }
    core::interpreter main;
    main.state = PyInterpreterState_Main();
    if (main.state == PyInterpreterState_Get()) {
        return guarded(false, [] {
            wrap_under_tracemalloc();
            return true;
        });
    }
    {
        const entered inside(main);
        if (!guarded(false, [] {
                wrap_under_tracemalloc();
                return true;
            })) {
            PyErr_WriteUnraisable(nullptr); // main's, where nobody asked for anything
        }
    }
    if (!reached()) {
        PyErr_SetString(PyExc_RuntimeError, "isthmus's allocator hook can't be put below tracemalloc");
        return false;
    }
    return true;
}

bool switch_placement_on() {
    if (placement_is_on()) {
        return true;
    }
    core::interpreter* record = nullptr;
    if (original.malloc == nullptr || !core::memory().started() || placing_window(record) == nullptr) {
        return false;
    }
    // No thread may pair a new malloc with an old free: all have seen the hook before the first block is
    // placed.
    if (!barrier_everywhere()) {
        return false;
    }
    if (!reached()) {
        return false;
    }
    threshold.store(core::memory().chosen().threshold, std::memory_order_seq_cst);
    placing.store(true, std::memory_order_seq_cst);
    return true;
}

bool placement_is_on() noexcept {
    return placing.load(std::memory_order_relaxed);
}

bool hook_in_place() noexcept {
    if (!placement_is_on()) {
        return false;
    }
    PyMemAllocatorEx now{};
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &now);
    if (same(now, proved)) [[likely]] {
        return true;
    }
    if (!reached()) {
        wrap();
        return reached();
    }
    proved = now;
    return true;
}

} // namespace isthmus::py

/// Replaces operator new and delete of a program whose allocations can be made to fail; as operators.hpp, in
/// one source.
#pragma once

#include "operators.hpp"

#include <atomic>
#include <cstdint>

namespace allocations {

/// Defined by the program, asked by each allocation: shall it fail?
bool due() noexcept;

/// Blocks that live, of all threads.
std::atomic<std::int64_t> blocks{0};

void* allocate(std::size_t size, std::size_t alignment) noexcept {
    void* const at = due() ? nullptr : from_malloc(size, alignment);
    if (at != nullptr) {
        blocks.fetch_add(1);
    }
    return at;
}

void release(void* at) noexcept {
    if (at != nullptr) {
        blocks.fetch_sub(1);
        std::free(at);
    }
}

} // namespace allocations

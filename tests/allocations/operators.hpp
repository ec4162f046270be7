/// Every replaceable operator new and delete ([new.delete]) by the two functions declared here, which the
/// program that includes this, in one source, defines.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace allocations {

/// Null when there is no memory.
void* allocate(std::size_t size, std::size_t alignment) noexcept;
/// `at` may be null.
void release(void* at) noexcept;

inline void* from_malloc(std::size_t size, std::size_t alignment) noexcept {
    return alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
               ? std::malloc(size)
               : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

inline void* allocate_or_throw(std::size_t size, std::size_t alignment) {
    void* const at = allocate(size, alignment);
    return at != nullptr ? at : throw std::bad_alloc();
}

inline constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

} // namespace allocations

void* operator new(std::size_t size) {
    return allocations::allocate_or_throw(size, allocations::usual);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocations::allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocations::allocate(size, allocations::usual);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocations::allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size) {
    return allocations::allocate_or_throw(size, allocations::usual);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocations::allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocations::allocate(size, allocations::usual);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocations::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* at) noexcept {
    allocations::release(at);
}
void operator delete(void* at, std::size_t) noexcept {
    allocations::release(at);
}
void operator delete(void* at, std::align_val_t) noexcept {
    allocations::release(at);
}
void operator delete(void* at, std::size_t, std::align_val_t) noexcept {
    allocations::release(at);
}
void operator delete(void* at, const std::nothrow_t&) noexcept {
    allocations::release(at);
}
void operator delete(void* at, std::align_val_t, const std::nothrow_t&) noexcept {
    allocations::release(at);
}
void operator delete[](void* at) noexcept {
    allocations::release(at);
}
void operator delete[](void* at, std::size_t) noexcept {
    allocations::release(at);
}
void operator delete[](void* at, std::align_val_t) noexcept {
    allocations::release(at);
}
void operator delete[](void* at, std::size_t, std::align_val_t) noexcept {
    allocations::release(at);
}
void operator delete[](void* at, const std::nothrow_t&) noexcept {
    allocations::release(at);
}
void operator delete[](void* at, std::align_val_t, const std::nothrow_t&) noexcept {
    allocations::release(at);
}

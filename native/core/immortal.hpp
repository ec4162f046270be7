/// Process-wide objects that are never destroyed: threads, and interpreters that free late, may outlive
/// statics.
#pragma once

#include <cstddef>
#include <new>

namespace isthmus::core {

/// The one T of the process, made at first use. T's default constructor must not throw.
template <typename T> [[nodiscard]] T& immortal() noexcept {
    alignas(T) static std::byte storage[sizeof(T)];
    static T* const only = new (storage) T;
    return *only;
}

} // namespace isthmus::core

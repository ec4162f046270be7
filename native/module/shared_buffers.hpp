/// `SharedBuffer` and `AtomicView` as Python objects, and how they cross: the same memory in every
/// interpreter.
#pragma once

#include "module/state.hpp"

#include "core/message.hpp"
#include "core/shared_memory.hpp"

#include <memory>

namespace isthmus::module {

/// One block of memory in one interpreter; there may be several objects for it.
struct shared_buffer_object {
    PyObject_HEAD;
    core::memory_hold* held; ///< null until it is made whole
    state* module;           ///< the type keeps the module alive
};

[[nodiscard]] inline shared_buffer_object& shared_buffer_of(PyObject* o) noexcept {
    return *reinterpret_cast<shared_buffer_object*>(o);
}

/// Makes the types for one interpreter's module. Throws python_error.
void add_shared_buffer_types(PyObject* module);

/// The travelling form of a SharedBuffer or an AtomicView; null for all else. Throws std::bad_alloc.
[[nodiscard]] std::unique_ptr<core::attachment> pack_shared_buffer(const state& s, PyObject* o);
/// Null if `travelling` is neither. Throws python_error, std::bad_alloc.
[[nodiscard]] py::ref unpack_shared_buffer(state& s, core::attachment& travelling);

/// The memory behind a SharedBuffer or an AtomicView; null for all else.
[[nodiscard]] core::shared_memory* shared_memory_of(const state& s, PyObject* o) noexcept;

// ---- atomics.cpp

void add_atomic_view_type(PyObject* module);
/// An AtomicView of `buffer`, a SharedBuffer. Throws python_error: TypeError, ValueError.
[[nodiscard]] py::ref make_atomic_view(state& s, PyObject* buffer, PyObject* fmt);
/// The SharedBuffer that an AtomicView shows, and its format; null and 0 for all else.
[[nodiscard]] PyObject* buffer_of_view(const state& s, PyObject* o) noexcept;
[[nodiscard]] char format_of_view(PyObject* view) noexcept;

} // namespace isthmus::module

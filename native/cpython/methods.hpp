/// Entries of method and slot tables: CPython keeps functions of many signatures under one type.
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::py {

/// For PyMethodDef: METH_FASTCALL and METH_KEYWORDS functions have signatures of their own.
template <typename Function> [[nodiscard]] PyCFunction method(Function* f) noexcept {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

/// For PyType_Slot.
template <typename Function> [[nodiscard]] void* slot(Function* f) noexcept {
    return reinterpret_cast<void*>(f);
}

/// Of `__exit__` methods: nothing would tell `inspect` what they take.
inline constexpr char exit_doc[] = "__exit__($self, kind, value, traceback, /)\n--\n\nClose it.";

} // namespace isthmus::py

/// Every difference between CPython versions, and every use of what CPython does not document, is here.
///
/// | what                                   | where it is checked                                      |
/// |----------------------------------------|----------------------------------------------------------|
/// | layout of exact `bytes` and `str`      | start-up self-test (selftest.cpp), tests/python          |
/// | `_PyInterpreterState_*` below          | exported "for the _interpreters module", 3.13 to 3.15    |
/// | cross-interpreter data of the library  | weak symbols; tests/python/test_foreign_interpreters.py  |
/// | `io.BytesIO` keeps exact bytes (H1)    | bytesio_guard.cpp, self-test at each attach              |
/// | what a stream has yet to write         | streams.cpp, self-test at its first use                  |
/// | allocator of the object domain         | hook.cpp, self-test at start-up                          |
/// | exceptions set from outside           | `PyThreadState.async_exc`; tests/python/test_interrupt.py|
/// | whether a thread state is current      | `PyThreadState._status`; tests/hosts/entered_test.cpp    |
/// | a list's size may be less than its room| lists_have_room(); tests/python/test_clone.py            |
#pragma once

#include "cpython/refs.hpp"

#include "core/forms.hpp"
#include "core/options.hpp"
#include "core/slot.hpp"

#include <cstddef>
#include <cstdint>

#if PY_VERSION_HEX < 0x030D0000
#error "isthmus needs CPython 3.13 or newer"
#endif
#ifdef Py_GIL_DISABLED
#error                                                                                                       \
    "isthmus does not support free-threaded builds of CPython: their object headers differ and their collector walks the heaps"
#endif

// NOLINTBEGIN(bugprone-reserved-identifier): CPython's names
extern "C" {
// Private, exported for the standard library's _interpreters module (pycore_pystate.h, pycore_interp.h).
PyAPI_FUNC(int) _PyInterpreterState_SetRunningMain(PyInterpreterState*);
PyAPI_FUNC(void) _PyInterpreterState_SetNotRunningMain(PyInterpreterState*);
PyAPI_FUNC(int) _PyInterpreterState_IsRunningMain(PyInterpreterState*);
PyAPI_FUNC(PyInterpreterState*) _PyInterpreterState_LookUpID(std::int64_t);
PyAPI_FUNC(long) _PyInterpreterState_GetWhence(PyInterpreterState*);
#if PY_VERSION_HEX < 0x030E0000
PyAPI_FUNC(int) _PyInterpreterState_IDIncref(PyInterpreterState*);
#else
PyAPI_FUNC(void) _PyInterpreterState_IDIncref(PyInterpreterState*);
#endif
PyAPI_FUNC(void) _PyInterpreterState_IDDecref(PyInterpreterState*);
// Private, how the standard library passes objects between interpreters (pycore_crossinterp.h). Weak: without
// them it does not know our types, and nothing else changes.
#if PY_VERSION_HEX >= 0x030E0000
struct isthmus_xid_functions { // _PyXIData_getdata_t
    int (*basic)(PyThreadState*, PyObject*, void*);
    int (*fallback)(PyThreadState*, PyObject*, int, void*);
};
[[gnu::weak]] PyAPI_FUNC(int) _PyXIData_RegisterClass(PyThreadState*, PyTypeObject*, isthmus_xid_functions);
[[gnu::weak]] PyAPI_FUNC(void)
    _PyXIData_Init(void*, PyInterpreterState*, void*, PyObject*, PyObject* (*)(void*));
#else
[[gnu::weak]] PyAPI_FUNC(int)
    _PyCrossInterpreterData_RegisterClass(PyTypeObject*, int (*)(PyThreadState*, PyObject*, void*));
[[gnu::weak]] PyAPI_FUNC(void)
    _PyCrossInterpreterData_Init(void*, PyInterpreterState*, void*, PyObject*, PyObject* (*)(void*));
#endif
// Documented API, under names of our own: 3.13.0's header declares it to C++ as functions with C++ linkage.
int isthmus_tracemalloc_track(unsigned domain, std::uintptr_t address,
                              std::size_t size) __asm__("PyTraceMalloc_Track");
int isthmus_tracemalloc_untrack(unsigned domain, std::uintptr_t address) __asm__("PyTraceMalloc_Untrack");
}
// NOLINTEND(bugprone-reserved-identifier)

namespace isthmus::py::compat {

/// Marks the current interpreter as running its `__main__`, as the standard library does: it destroys only
/// interpreters that are not. False with a Python error set: it is running already.
[[nodiscard]] inline bool set_running_main(PyInterpreterState* state) noexcept {
    return _PyInterpreterState_SetRunningMain(state) == 0;
}
inline void set_not_running_main(PyInterpreterState* state) noexcept {
    _PyInterpreterState_SetNotRunningMain(state);
}
/// Any thread with any GIL, while the state exists.
[[nodiscard]] inline bool is_running_main(PyInterpreterState* state) noexcept {
    return _PyInterpreterState_IsRunningMain(state) != 0;
}

/// Whether an exception that PyThreadState_SetAsyncExc set waits for the calling thread's next bytecode.
[[nodiscard]] inline bool async_exception_waits() noexcept {
    return PyThreadState_Get()->async_exc != nullptr;
}
/// Takes that exception away from the bytecode.
inline void drop_async_exception() noexcept {
    PyThreadState_SetAsyncExc(PyThreadState_Get()->thread_id, nullptr);
}
/// Sets it as the error here and now, so that the bytecode does not raise it again. True if there
/// was one.
[[nodiscard]] bool raise_async_exception() noexcept;

/// Who made the interpreter, in the words of `concurrent.interpreters` (3.14). Any GIL, while the state
/// exists.
[[nodiscard]] const char* whence(PyInterpreterState* state) noexcept;

[[nodiscard]] inline bool made_by_standard_library(PyInterpreterState* state) noexcept {
    constexpr long by_it = 5;
    return _PyInterpreterState_GetWhence(state) == by_it;
}

/// One more Interpreter object, as the standard library counts them: when the last one goes it ends those
/// that it made. Any GIL. False: not counted (out of memory).
[[nodiscard]] bool count_object(PyInterpreterState* state) noexcept;
/// One less. Ends the interpreter if it was the last one, and so may run any code of its.
inline void discount_object(PyInterpreterState* state) noexcept {
    _PyInterpreterState_IDDecref(state);
}

/// The standard library's way across, for objects that an address-sized value stands for. Its first member is
/// that value.
using take_apart = int (*)(PyThreadState*, PyObject* o, void* record);
using put_together = PyObject* (*)(void* record);
/// Lets its queues, `prepare_main` and the like pass objects of `type`, a type of the current interpreter.
/// False: this CPython offers no way. An error may be set.
[[nodiscard]] bool register_crossing(PyTypeObject* type, take_apart take) noexcept;
/// In a take_apart: `value` is all that travels; nothing is kept alive by it.
void fill_crossing(void* record, std::uintptr_t value, put_together put) noexcept;
/// In a put_together.
[[nodiscard]] inline std::uintptr_t crossing_value(const void* record) noexcept {
    return reinterpret_cast<std::uintptr_t>(*static_cast<void* const*>(record));
}

/// H14: importing datetime for the first time inside an isolated interpreter corrupts the heap on 3.13 (fixed
/// in 3.14).
inline constexpr bool datetime_wants_main_first = PY_VERSION_HEX < 0x030E0000;

/// Early 3.13: an interpreter without thread states lends the memory of its first one to the next one made,
/// and takes it back only after the last one has left the list. A thread that enters in between ends the
/// process ("thread state already initialized"). So one stays in the list until the interpreter ends.
inline constexpr bool idle_wants_anchor = PY_VERSION_HEX < 0x030E0000;

/// Whether its thread runs with it: holds its interpreter's GIL. On that thread, while it exists. Costs a
/// load; a look at what is current is a call into thread-local storage that no linker can shorten.
[[nodiscard]] inline bool is_current(const PyThreadState& of_this_thread) noexcept {
    return of_this_thread._status.active != 0;
}

/// Up to 3.13 a thread that the system refuses to start leaves a thread state in the list, cleared and of no
/// thread. CPython would end the process at the interpreter's end because of it ("not the last thread").
[[nodiscard]] inline bool is_of_refused_thread(const PyThreadState& thread) noexcept {
    return PY_VERSION_HEX < 0x030E0000 && thread._status.cleared != 0 && thread._status.bound == 0;
}

/// Up to 3.13 the `__main__` of a new interpreter has an empty `__annotations__`.
inline constexpr bool main_has_annotations = PY_VERSION_HEX < 0x030E0000;

/// Up to 3.13 builtins such as `eval` ask the frame of their caller for its globals, and fail without one;
/// later ones take those of `__main__` then.
inline constexpr bool builtins_want_a_frame = PY_VERSION_HEX < 0x030E0000;

/// Whether tracemalloc traces now. Its module can be asked in the main interpreter only; this needs just a
/// GIL.
[[nodiscard]] inline bool tracemalloc_is_on() noexcept {
    constexpr unsigned nobodys_domain = 0x69737468;
    constexpr int disabled = -2;
    if (isthmus_tracemalloc_track(nobodys_domain, 0, 1) == disabled) {
        return false;
    }
    isthmus_tracemalloc_untrack(nobodys_domain, 0);
    return true;
}

/// The live interpreter with this id, or null; no error is left set. Needs a thread state.
[[nodiscard]] PyInterpreterState* look_up(std::int64_t number) noexcept;

/// Whether a list may be shorter than the room it has, as CPython's own lists are while they grow; found out
/// once, with a list of our own. Any GIL.
[[nodiscard]] bool lists_have_room() noexcept;

/// An empty list with room for `count` items, to be filled by `append`. Null with MemoryError.
[[nodiscard]] inline PyObject* list_with_room(Py_ssize_t count) noexcept {
    if (!lists_have_room()) {
        return PyList_New(0);
    }
    PyObject* const made = PyList_New(count);
    if (made != nullptr) {
        Py_SET_SIZE(made, 0); // never visible with null items; what is allocated stays
    }
    return made;
}
/// Appends without growing where there is room; takes over the reference. False with MemoryError.
[[nodiscard]] inline bool append(PyObject* list, PyObject* owned) noexcept {
    const Py_ssize_t size = PyList_GET_SIZE(list);
    if (lists_have_room() && size < reinterpret_cast<PyListObject*>(list)->allocated) {
        PyList_SET_ITEM(list, size, owned);
        Py_SET_SIZE(list, size + 1);
        return true;
    }
    const bool added = PyList_Append(list, owned) == 0;
    Py_DECREF(owned);
    return added;
}

using core::form;
static_assert(offsetof(PyBytesObject, ob_sval) == core::bytes_header &&
                  sizeof(PyASCIIObject) == core::ascii_header &&
                  sizeof(PyCompactUnicodeObject) == core::text_header,
              "the inline bytes must fit between a header and the payload page");
static_assert(sizeof(PyCompactUnicodeObject) <= core::header_room);

/// The form of `o`: `none` unless it is exactly `bytes` or `str` with its data behind its header.
[[nodiscard]] form form_of(PyObject* o) noexcept;
/// Size of the object's one block, header and terminator included. Precondition: form_of(o) is not none.
[[nodiscard]] std::size_t block_size_of(PyObject* o, form f) noexcept;
/// Writes what a twin needs into `record`.
void describe_object(PyObject* o, form f, core::slot_record& record) noexcept;
/// Makes a new object, reference count 1, in `place` from a record. Everything before the payload page is
/// written afresh: stale state bits of a former object must not survive, and the inline bytes come from the
/// record (H2).
PyObject* make_object(std::byte* place, const core::slot_record& record) noexcept;
/// A plain copy of what the record describes, in the current interpreter; null with MemoryError. `payload`:
/// from the page on.
[[nodiscard]] PyObject* copy_object(const core::slot_record& record, const std::byte* payload) noexcept;

} // namespace isthmus::py::compat

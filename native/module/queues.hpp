/// `Queue` (PEP 734) as a Python object, and how it crosses.
#pragma once

#include "module/state.hpp"

#include "core/queue.hpp"

namespace isthmus::module {

/// One queue in one interpreter, where there is one object for it (PEP 734).
struct queue_object {
    PyObject_HEAD;
    PyObject* weak_references;
    std::shared_ptr<core::queue> of;
    core::interpreter_ref here;
    state* module; ///< the type keeps the module alive
};

[[nodiscard]] inline queue_object& queue_of(PyObject* o) noexcept {
    return *reinterpret_cast<queue_object*>(o);
}

void add_queue_type(PyObject* module);

[[nodiscard]] std::unique_ptr<core::attachment> pack_queue(state& s, PyObject* o);
/// Null if `travelling` is no queue.
[[nodiscard]] py::ref unpack_queue(state& s, core::attachment& travelling);

/// The object for this queue in the current interpreter. Throws python_error, std::bad_alloc.
[[nodiscard]] py::ref make_queue(state& s, std::shared_ptr<core::queue> of);

/// The same for the queue with an id, a Python int. QueueNotFoundError: there is none, or nobody refers to
/// it.
[[nodiscard]] py::ref queue_with_id(state& s, PyObject* id);

/// What a received message means: its value, or, for a marker, UNBOUND or ItemInterpreterDestroyed. Throws
/// python_error.
[[nodiscard]] py::ref taken_out(core::interpreter& here, core::queue& of, core::message m);
/// Raises what an outcome other than ok means: QueueEmpty or QueueFull for a time-out. Throws python_error.
[[noreturn]] void raise_queue_outcome(const state& s, core::outcome how, core::end which, core::queue& of);

PyObject* create_queue(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords);
inline constexpr char create_queue_doc[] =
    "create_queue(maxsize=0, *, unbounditems=None)\n--\n\n"
    "Make a queue (PEP 734). `maxsize` of 0 or less: without limit. `unbounditems`: what becomes of an item "
    "whose interpreter\n"
    "ends before it was taken out: UNBOUND, meant by None too, is returned in its place, UNBOUND_ERROR makes "
    "get() raise "
    "ItemInterpreterDestroyed,\n"
    "UNBOUND_REMOVE removes it. Raises TypeError, ValueError.";

} // namespace isthmus::module

/// The module's state in one interpreter.
#pragma once

#include "cpython/refs.hpp"

#include "core/registry.hpp"

namespace isthmus::module {

struct state {
    core::interpreter_ref here; ///< the interpreter this module object belongs to
    PyTypeObject* interpreter_type = nullptr;
    PyTypeObject* pending_call_type = nullptr;
    PyTypeObject* closed_event_type = nullptr;
    PyTypeObject* recv_type = nullptr;
    PyTypeObject* send_type = nullptr;
    PyTypeObject* channel_statistics_type = nullptr;
    PyTypeObject* queue_type = nullptr;
    PyTypeObject* view_type = nullptr;       ///< isthmus.View
    PyTypeObject* descriptor_type = nullptr; ///< isthmus._Descriptor
    PyTypeObject* shared_buffer_type = nullptr;
    PyTypeObject* atomic_view_type = nullptr;
    PyObject* interpreter_error = nullptr;
    PyObject* not_found_error = nullptr;
    PyObject* not_shareable_error = nullptr;
    PyObject* interpreters_by_number = nullptr; ///< WeakValueDictionary: one object per interpreter
    PyObject* queues_by_id = nullptr;           ///< likewise per queue
};

/// For the file that Python imports, which is apart from the library.
[[gnu::visibility("default")]] extern PyModuleDef definition;

/// Makes a type of the module's for one interpreter; `place`, in the module's state, owns it. Throws
/// python_error.
inline void add_type(PyObject* module, PyType_Spec& spec, PyTypeObject*& place) {
    place = reinterpret_cast<PyTypeObject*>(
        py::require(PyType_FromModuleAndSpec(module, &spec, nullptr)).release());
    py::require(PyModule_AddType(module, place));
}

[[nodiscard]] inline state& state_of(PyObject* module) noexcept {
    return *static_cast<state*>(PyModule_GetState(module));
}
/// The state of the module that made `type`. Throws python_error.
[[nodiscard]] state& state_of_type(PyTypeObject* type);
/// The state of the module in the current interpreter, imported if need be. Throws python_error.
[[nodiscard]] state& current_state();

} // namespace isthmus::module

#include "module/memory_functions.hpp"

#include "module/interpreters.hpp"
#include "module/shared_buffers.hpp"

#include "crossing/crossing.hpp"
#include "crossing/views.hpp"

#include "cpython/bytesio_guard.hpp"
#include "cpython/hook.hpp"
#include "cpython/lifecycle.hpp"
#include "cpython/twin.hpp"

#include "core/cycles.hpp"
#include "core/stats.hpp"

namespace isthmus::module {
namespace {

using core::counter;
using core::statistics;
using py::guarded;
using py::ref;
using py::require;
using py::compat::form;

void set(PyObject* dict, const char* name, PyObject* fresh) {
    const ref value = require(fresh);
    require(PyDict_SetItemString(dict, name, value.get()));
}

void set_count(PyObject* dict, const char* name, std::uint64_t n) {
    set(dict, name, PyLong_FromUnsignedLongLong(n));
}

/// The interpreter that owns the slot of `o`; null if it lies in none, or its owner is gone.
core::interpreter_ref owner_of(core::interpreter& here, PyObject* o) {
    const core::slot* const s = py::slot_of(here, o);
    if (s == nullptr || s->owner_window.load() == core::no_window) {
        return nullptr;
    }
    return core::interpreters().find_identity(s->owner.load());
}

const char* crossing_name(const state& of, PyObject* o, const core::slot* s) {
    if (shared_memory_of(of, o) != nullptr) {
        return "handle";
    }
    if (crossing::crosses_as_view(o)) {
        return "view";
    }
    if (s == nullptr) {
        return py::compat::form_of(o) != form::none ? "copy" : "value or pickle";
    }
    return py::is_foreign_twin(o) ? "twin" : "original";
}

/// By what crosses as something else than a copy, and lies in no slot.
std::uint64_t bytes_shown_by(const state& s, PyObject* o) noexcept {
    if (const core::shared_memory* const memory = shared_memory_of(s, o); memory != nullptr) {
        return memory->size();
    }
    return PyMemoryView_Check(o) ? static_cast<std::uint64_t>(PyMemoryView_GET_BUFFER(o)->len) : 0;
}

ref inbox_depths() {
    ref depths = require(PyDict_New());
    for (const core::interpreter_ref& record : core::interpreters().all()) {
        const std::size_t slots = record->view != nullptr ? record->view->box.depth() : 0;
        const ref number = require(PyLong_FromLongLong(record->number));
        const ref depth = require(PyLong_FromSize_t(slots + record->errands.depth()));
        require(PyDict_SetItem(depths.get(), number.get(), depth.get()));
    }
    return depths;
}

} // namespace

PyObject* enable(PyObject*, PyObject*) {
    return guarded<PyObject*>(nullptr, []() -> PyObject* {
        py::enable_placement();
        py::warn_if_copying();
        Py_RETURN_NONE;
    });
}

PyObject* share(PyObject* module, PyObject* o) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const state& s = state_of(module);
        py::enable_placement();
        py::warn_if_copying();
        const form f = py::compat::form_of(o);
        if (f != form::none &&
            (py::compat::block_size_of(o, f) < py::twin_threshold() || core::memory().find(o) != nullptr)) {
            return Py_NewRef(o);
        }
        return crossing::clone(*s.here, o, true).release();
    });
}

PyObject* clone(PyObject* module, PyObject* o) {
    return guarded<PyObject*>(nullptr,
                              [&]() { return crossing::clone(*state_of(module).here, o, false).release(); });
}

PyObject* owner(PyObject* module, PyObject* o) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        state& s = state_of(module);
        core::interpreter_ref found = crossing::owner_of_view(o);
        if (found == nullptr) {
            found = owner_of(*s.here, o);
        } else if (found->now.load() == core::interpreter::phase::gone) {
            found = nullptr;
        }
        return found != nullptr ? make_interpreter(s, found->number).release() : Py_NewRef(Py_None);
    });
}

PyObject* describe(PyObject* module, PyObject* o) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        state& s = state_of(module);
        const core::slot* const found = py::slot_of(*s.here, o);
        const ref result = require(PyDict_New());
        set(result.get(), "kind", PyUnicode_FromString(crossing_name(s, o, found)));
        set(result.get(), "owner", owner(module, o));
        set(result.get(), "slot",
            found == nullptr
                ? Py_NewRef(Py_None)
                : Py_BuildValue("(nI)", core::memory().index_of(*found), found->generation.load()));
        set_count(result.get(), "shares", found == nullptr ? 0 : found->shares());
        set_count(result.get(), "bytes", found == nullptr ? bytes_shown_by(s, o) : found->bytes.load());
        return Py_NewRef(result.get());
    });
}

PyObject* same_memory(PyObject* module, PyObject* const* args, Py_ssize_t count) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        if (count != 2) {
            py::fail(PyExc_TypeError, "same_memory() takes 2 arguments (%zd given)", count);
        }
        const state& s = state_of(module);
        const core::slot* const first = py::slot_of(*s.here, args[0]);
        const core::shared_memory* const memory = shared_memory_of(s, args[0]);
        const bool same = args[0] == args[1] ||
                          (memory != nullptr && memory == shared_memory_of(s, args[1])) ||
                          (first != nullptr && first == py::slot_of(*s.here, args[1])) ||
                          crossing::same_buffer(args[0], args[1]);
        return PyBool_FromLong(same ? 1 : 0);
    });
}

PyObject* is_shareable(PyObject* module, PyObject* o) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        return PyBool_FromLong(crossing::is_shareable(*state_of(module).here, o) ? 1 : 0);
    });
}

PyObject* stats(PyObject* module, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        core::collect_cycles();
        py::drain(*state_of(module).here);
        py::reap();
        const ref result = require(PyDict_New());
        PyObject* const d = result.get();
        set_count(d, "payload_bytes_copied", statistics::read(counter::payload_bytes_copied));
        set_count(d, "fallback_copies", statistics::read(counter::fallback_copies));
        set_count(d, "twins_live", statistics::gauge(counter::twins_made, counter::twins_dropped));
        set_count(d, "twins_made", statistics::read(counter::twins_made));
        set_count(d, "shares_outstanding", statistics::gauge(counter::shares_taken, counter::shares_dropped));
        set_count(d, "slots_live", statistics::gauge(counter::slots_made, counter::slots_freed));
        set_count(d, "bytes_resident", statistics::gauge(counter::bytes_touched, counter::bytes_purged));
        set_count(d, "views_live", statistics::gauge(counter::views_made, counter::views_ended));
        set_count(d, "views_made", statistics::read(counter::views_made));
        set_count(d, "views_orphaned", statistics::read(counter::views_orphaned));
        set_count(d, "releases_posted", statistics::read(counter::releases_posted));
        set_count(d, "releases_run", statistics::read(counter::releases_run));
        set_count(d, "pending_calls_posted", statistics::read(counter::calls_posted));
        set_count(d, "pending_calls_run", statistics::read(counter::calls_ended));
        set_count(d, "shared_buffers_live", statistics::gauge(counter::buffers_made, counter::buffers_freed));
        set_count(d, "shared_buffer_bytes",
                  statistics::gauge(counter::buffer_bytes_made, counter::buffer_bytes_freed));
        set(d, "inbox_depths", inbox_depths().release());
        return Py_NewRef(d);
    });
}

PyObject* doctor_facts(PyObject* module, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const core::interpreter& here = *state_of(module).here;
        const core::memory_system& memory = core::memory();
        const ref result = require(PyDict_New());
        PyObject* const d = result.get();
        const char* reason = py::copying_because();
        set(d, "arena_ok", PyBool_FromLong(memory.started() ? 1 : 0));
        set_count(d, "arena_capacity", memory.space().capacity());
        set_count(d, "windows", memory.space().windows());
        set(d, "hook_ok", PyBool_FromLong(py::placement_is_on() && py::hook_in_place() ? 1 : 0));
        set(d, "guard_ok", PyBool_FromLong(here.twins_allowed.load() ? 1 : 0));
        set_count(d, "threshold", py::twin_threshold());
        set(d, "placement", PyBool_FromLong(py::placement_is_on() ? 1 : 0));
        set_count(d, "mapping_cap", memory.chosen().mapping_cap);
        set_count(d, "mappings", memory.mappings());
        set_count(d, "resident_budget", memory.chosen().budget);
        set_count(d, "guarded_bytesio", py::guarded_bytesio_count());
        set(d, "reason", PyUnicode_FromString(reason));
        return Py_NewRef(d);
    });
}

#ifndef NDEBUG
PyObject* touch_reference(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        if (count != 2) {
            py::fail(PyExc_TypeError, "_touch_reference() takes 2 arguments (%zd given)", count);
        }
        auto* const o = static_cast<PyObject*>(PyLong_AsVoidPtr(args[0]));
        const int attached = PyObject_IsTrue(args[1]);
        if (PyErr_Occurred() != nullptr) {
            throw py::python_error{};
        }
        if (o == nullptr) {
            py::fail(PyExc_ValueError, "_touch_reference(): nothing lies at 0");
        }
        PyThreadState* const left = attached == 0 ? PyEval_SaveThread() : nullptr;
        Py_INCREF(o);
        Py_DECREF(o);
        if (left != nullptr) {
            PyEval_RestoreThread(left);
        }
        Py_RETURN_NONE;
    });
}
#endif

} // namespace isthmus::module

/// The extension module `isthmus._isthmus`: one object per interpreter, all over the one runtime of the
/// process.

#include "module/arguments.hpp"
#include "module/closed_event.hpp"
#include "module/descriptors.hpp"
#include "module/ends.hpp"
#include "module/host_functions.hpp"
#include "module/inspection_functions.hpp"
#include "module/interpreters.hpp"
#include "module/memory_functions.hpp"
#include "module/pending_calls.hpp"
#include "module/queues.hpp"
#include "module/select.hpp"
#include "module/shared_buffers.hpp"
#include "module/standard_library.hpp"
#include "module/versions.hpp"
#include "module/views.hpp"

#include "crossing/handles.hpp"

#include "cpython/lifecycle.hpp"
#include "cpython/methods.hpp"

#include <cstring>
#include <memory>

#ifndef ISTHMUS_VERSION
#error "the build gives ISTHMUS_VERSION"
#endif

namespace isthmus::module {
namespace {

using py::guarded;
using py::method;
using py::ref;
using py::require;

void set_global(PyObject*& place, PyObject* errors, const char* name) {
    place = require(PyObject_GetAttrString(errors, name)).release();
}

std::unique_ptr<core::attachment> pack_handle(PyObject* o) {
    // Asked for every object that a pickle contains: heap types with our names only, so that the module is
    // not looked up each time.
    if ((Py_TYPE(o)->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 ||
        std::strncmp(Py_TYPE(o)->tp_name, "isthmus.", 8) != 0) {
        return nullptr;
    }
    state& s = current_state();
    std::unique_ptr<core::attachment> packed = pack_end(s, o);
    if (packed == nullptr) {
        packed = pack_queue(s, o);
    }
    if (packed == nullptr) {
        packed = pack_descriptor(s, o);
    }
    if (packed == nullptr) {
        packed = pack_shared_buffer(s, o);
    }
    if (packed == nullptr) {
        packed = pack_closed_event(s, o);
    }
    return packed != nullptr ? std::move(packed) : pack_interpreter(s, o);
}

ref unpack_handle(core::attachment& travelling) {
    state& s = current_state();
    ref made = unpack_end(s, travelling);
    if (!made) {
        made = unpack_queue(s, travelling);
    }
    if (!made) {
        made = unpack_view(s, travelling);
    }
    if (!made) {
        made = unpack_descriptor(s, travelling);
    }
    if (!made) {
        made = unpack_shared_buffer(s, travelling);
    }
    if (!made) {
        made = unpack_closed_event(s, travelling);
    }
    return made ? std::move(made) : unpack_interpreter(s, travelling);
}

constexpr crossing::handle_codec codec{pack_handle, unpack_handle};

/// What keeps apart the classes of different interpreters: CPython's ids start again when it does.
PyObject* identity(PyObject* module, PyObject*) {
    return PyLong_FromUnsignedLongLong(state_of(module).here->identity);
}

int exec_module(PyObject* module) {
    return guarded(-1, [&] {
        state& s = *std::construct_at(&state_of(module));
        refuse_other_versions();
        crossing::set_handle_codec(codec);
        s.here = py::attach_current();
        const ref errors = require(PyImport_ImportModule("isthmus._errors"));
        set_global(s.interpreter_error, errors.get(), "InterpreterError");
        set_global(s.not_found_error, errors.get(), "InterpreterNotFoundError");
        set_global(s.not_shareable_error, errors.get(), "NotShareableError");
        const ref weakref = require(PyImport_ImportModule("weakref"));
        s.interpreters_by_number =
            require(PyObject_CallMethod(weakref.get(), "WeakValueDictionary", nullptr)).release();
        s.queues_by_id =
            require(PyObject_CallMethod(weakref.get(), "WeakValueDictionary", nullptr)).release();
        add_interpreter_type(module);
        add_pending_call_type(module);
        add_closed_event_type(module);
        add_end_types(module);
        add_queue_type(module);
        let_standard_library_pass(s);
        add_view_type(module);
        add_descriptor_type(module);
        add_shared_buffer_types(module);
        require(PyModule_AddStringConstant(module, "__version__", ISTHMUS_VERSION));
        return 0;
    });
}

int traverse(PyObject* module, visitproc visit, void* arg) {
    state& s = state_of(module);
    Py_VISIT(s.interpreter_type);
    Py_VISIT(s.pending_call_type);
    Py_VISIT(s.closed_event_type);
    Py_VISIT(s.recv_type);
    Py_VISIT(s.send_type);
    Py_VISIT(s.channel_statistics_type);
    Py_VISIT(s.queue_type);
    Py_VISIT(s.view_type);
    Py_VISIT(s.descriptor_type);
    Py_VISIT(s.shared_buffer_type);
    Py_VISIT(s.atomic_view_type);
    Py_VISIT(s.interpreters_by_number);
    Py_VISIT(s.queues_by_id);
    return 0;
}

int clear(PyObject* module) {
    state& s = state_of(module);
    Py_CLEAR(s.interpreters_by_number);
    Py_CLEAR(s.queues_by_id);
    Py_CLEAR(s.interpreter_error);
    Py_CLEAR(s.not_found_error);
    Py_CLEAR(s.not_shareable_error);
    Py_CLEAR(s.interpreter_type);
    Py_CLEAR(s.pending_call_type);
    Py_CLEAR(s.closed_event_type);
    Py_CLEAR(s.recv_type);
    Py_CLEAR(s.send_type);
    Py_CLEAR(s.channel_statistics_type);
    Py_CLEAR(s.queue_type);
    Py_CLEAR(s.view_type);
    Py_CLEAR(s.descriptor_type);
    Py_CLEAR(s.shared_buffer_type);
    Py_CLEAR(s.atomic_view_type);
    return 0;
}

void free_module(void* module) {
    clear(static_cast<PyObject*>(module));
    std::destroy_at(&state_of(static_cast<PyObject*>(module)).here);
}

PyMethodDef functions[] = {
    {"create", method(create), METH_FASTCALL | METH_KEYWORDS,
     "create(*, name=None, gil='own')\n--\n\nMake a new isolated interpreter with a GIL of its own; its "
     "sys.path is a copy of the creator's.\n\n"
     "gil='shared': one that runs under the main interpreter's GIL, for extensions that refuse isolation. It "
     "may also start daemon\n"
     "threads and processes; while daemon threads run in it, it can't be closed."},
    {"list_all", list_all, METH_NOARGS,
     "list_all()\n--\n\nAll interpreters of the process, whoever made them."},
    {"get_current", get_current, METH_NOARGS, "get_current()\n--\n\nThe interpreter this code runs in."},
    {"get_main", get_main, METH_NOARGS, "get_main()\n--\n\nThe main interpreter."},
    {"create_channel", method(create_channel), METH_FASTCALL | METH_KEYWORDS,
     "create_channel(capacity=0)\n--\n\n"
     "Make a channel and return (RecvChannel, SendChannel). Capacity 0: `send` returns when the object was "
     "received;\n"
     "n: n objects are buffered; None: without limit."},
    {"list_all_channels", list_all_channels, METH_NOARGS,
     "list_all_channels()\n--\n\nAll open channels of the process, as pairs (RecvChannel, SendChannel)."},
    {"create_queue", method(create_queue), METH_FASTCALL | METH_KEYWORDS, create_queue_doc},
    {"select", method(select), METH_FASTCALL | METH_KEYWORDS, select_doc},
    {"enable", enable, METH_NOARGS,
     "enable()\n--\n\nPlace large objects made from now on in shared memory, so that they are sendable as "
     "they lie.\n\n"
     "Otherwise this begins with the first create(). RuntimeWarning if it is not possible here; everything "
     "is copied then."},
    {"share", share, METH_O,
     "share(obj, /)\n--\n\nAn equal object whose large bytes and str lie in shared memory: one copy now, "
     "none "
     "when it is sent.\n\nA container or object is rebuilt as if it had been sent here; bytes and str that "
     "lie "
     "there already, or are small, are returned as they are. NotShareableError if it could not be sent."},
    {"clone", clone, METH_O, nullptr},
    {"owner", owner, METH_O,
     "owner(obj, /)\n--\n\nThe interpreter whose memory `obj` lies in; None if in none that is shared."},
    {"describe", describe, METH_O,
     "describe(obj, /)\n--\n\nWhere `obj` lies: a dict of kind, owner, slot (index, generation), shares, "
     "bytes."},
    {"same_memory", method(same_memory), METH_FASTCALL,
     "same_memory(a, b, /)\n--\n\nWhether the payloads of `a` and `b` are the same physical memory."},
    {"is_shareable", is_shareable, METH_O,
     "is_shareable(obj, /)\n--\n\nWhether `send` would take `obj`, in depth."},
    {"stats", stats, METH_NOARGS, nullptr},
    {"inspection_serve", inspection_serve, METH_NOARGS, nullptr},
    {"inspection_stop", inspection_stop, METH_NOARGS, nullptr},
    {"inspection_path", inspection_path, METH_NOARGS, nullptr},
    {"inspection_snapshot", inspection_snapshot, METH_NOARGS, nullptr},
    {"identity", identity, METH_NOARGS, nullptr},
    {"doctor_facts", doctor_facts, METH_NOARGS, nullptr},
    {"host_call", method(host_call), METH_FASTCALL, nullptr},
    {"host_has", host_has, METH_O, nullptr},
    {"host_names", host_names, METH_NOARGS, nullptr},
#ifndef NDEBUG
    {"_touch_reference", method(touch_reference), METH_FASTCALL, nullptr},
#endif
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(exec_module)},
                            {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
                            {0, nullptr}};

} // namespace

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "isthmus._isthmus",
                          "The native half of isthmus.",
                          sizeof(state),
                          functions,
                          slots,
                          traverse,
                          clear,
                          free_module};

state& state_of_type(PyTypeObject* type) {
    auto* const s = static_cast<state*>(PyType_GetModuleState(type));
    if (s == nullptr) {
        throw py::python_error{};
    }
    return *s;
}

state& current_state() {
    const ref module = require(PyImport_ImportModule("isthmus._isthmus"));
    return state_of(module.get());
}

} // namespace isthmus::module

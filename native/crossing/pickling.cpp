#include "crossing/pickling.hpp"

#include "crossing/handles.hpp"
#include "crossing/views.hpp"
#include "crossing/writer.hpp"

#include "cpython/compat.hpp"
#include "cpython/twin.hpp"

#include "core/stats.hpp"

namespace isthmus::crossing {
namespace {

using py::ref;
using py::require;

/// The Python half: `isthmus._pickling`.
ref helper_module() {
    return require(PyImport_ImportModule("isthmus._pickling"));
}

bool crosses_out_of_band(PyObject* o) {
    const auto f = py::compat::form_of(o);
    if (f != py::compat::form::none) {
        return py::compat::block_size_of(o, f) >= py::twin_threshold();
    }
    return crosses_as_view(o) || handles().pack(o) != nullptr;
}

/// `persistent_id` of the pickler: called for every object. `self` is the list that collects what stays out
/// of band.
PyObject* persistent_id(PyObject* self, PyObject* o) {
    return py::guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        if (!crosses_out_of_band(o)) {
            Py_RETURN_NONE;
        }
        // One entry an object: shared references stay shared.
        for (Py_ssize_t i = PyList_GET_SIZE(self); i-- > 0;) {
            if (PyList_GET_ITEM(self, i) == o) {
                return PyLong_FromSsize_t(i);
            }
        }
        require(PyList_Append(self, o));
        return PyLong_FromSsize_t(PyList_GET_SIZE(self) - 1);
    });
}

PyMethodDef persistent_id_method = {"persistent_id", persistent_id, METH_O, nullptr};

/// Whether `isthmus._reducers` has a say in how `o` is taken apart. `types`: the exact types it lists.
bool is_reduced_there(PyObject* types, PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    if (PyFunction_Check(o) || PyCell_Check(o) || PyType_Check(o) || PyExceptionInstance_Check(o)) {
        return true;
    }
    // A metaclass may not be hashable.
    if (!Py_IS_TYPE(reinterpret_cast<PyObject*>(type), &PyType_Type)) {
        return false;
    }
    const int listed = PyDict_Contains(types, reinterpret_cast<PyObject*>(type));
    require(listed);
    return listed != 0;
}

/// `reducer_override` of the pickler: called for every object without a pickled form of its own. `self` is
/// the memo of this message's reductions and the types in question.
PyObject* reducer_override(PyObject* self, PyObject* o) {
    return py::guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        if (!is_reduced_there(PyTuple_GET_ITEM(self, 1), o)) {
            Py_RETURN_NOTIMPLEMENTED;
        }
        const ref reducers = require(PyImport_ImportModule("isthmus._reducers"));
        return PyObject_CallMethod(reducers.get(), "reduce", "OO", o, PyTuple_GET_ITEM(self, 0));
    });
}

PyMethodDef reducer_override_method = {"reducer_override", reducer_override, METH_O, nullptr};

void write_all(writer& out, PyObject* list) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
        if (!out.write(PyList_GET_ITEM(list, i))) {
            py::fail(PyExc_SystemError, "isthmus: an out-of-band value has no native kind");
        }
    }
}

/// Buffers reach the receiver as `bytes`: one copy here, none later.
void write_buffers(writer& out, PyObject* buffers) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(buffers); ++i) {
        const ref raw = require(PyObject_CallMethod(PyList_GET_ITEM(buffers, i), "raw", nullptr));
        const Py_buffer* view = PyMemoryView_GET_BUFFER(raw.get());
        out.put_number(static_cast<std::uint8_t>(view->readonly != 0 ? 1 : 0));
        const ref copy = require(PyBytes_FromStringAndSize(static_cast<const char*>(view->buf), view->len));
        if (static_cast<std::size_t>(view->len) >= py::twin_threshold()) {
            core::statistics::add(core::counter::payload_bytes_copied, static_cast<std::uint64_t>(view->len));
        }
        static_cast<void>(out.write(copy.get()));
    }
}

} // namespace

void write_pickle(core::interpreter& from, PyObject* o, core::parcel& into) {
    const ref persistents = require(PyList_New(0));
    const ref buffers = require(PyList_New(0));
    const ref identify = require(PyCFunction_New(&persistent_id_method, persistents.get()));
    const ref reducers = require(PyImport_ImportModule("isthmus._reducers"));
    const ref types = require(PyObject_CallMethod(reducers.get(), "types", nullptr));
    const ref memo = require(PyDict_New());
    const ref memo_and_types = require(PyTuple_Pack(2, memo.get(), types.get()));
    const ref reduce = require(PyCFunction_New(&reducer_override_method, memo_and_types.get()));
    const ref data = require(PyObject_CallMethod(helper_module().get(), "dumps", "O(OO)O", o, identify.get(),
                                                 reduce.get(), buffers.get()));
    writer out(from, into);
    out.put(tag::pickle);
    out.put_number(static_cast<std::uint64_t>(PyList_GET_SIZE(persistents.get())));
    out.put_number(static_cast<std::uint64_t>(PyList_GET_SIZE(buffers.get())));
    static_cast<void>(out.write(data.get()));
    write_all(out, persistents.get());
    write_buffers(out, buffers.get());
}

ref unpickle(PyObject* data, PyObject* persistents, PyObject* buffers) {
    return require(PyObject_CallMethod(helper_module().get(), "loads", "OOO", data, persistents, buffers));
}

} // namespace isthmus::crossing

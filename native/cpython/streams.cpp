#include "cpython/streams.hpp"

#include "cpython/refs.hpp"

namespace isthmus::py {
namespace {

/// Nothing is lost with one that is closed. What has no such attribute is open.
bool is_closed(PyObject* stream) {
    PyObject* found = nullptr;
    const int status = PyObject_GetOptionalAttrString(stream, "closed", &found);
    const ref closed = ref::steal(found);
    return status == 1 && PyObject_IsTrue(closed.get()) == 1;
}

void flush(const char* name, PyObject* method, bool report) {
    const ref stream = ref::share(PySys_GetObject(name));
    if (!stream || stream.get() == Py_None) {
        return;
    }
    PyObject* const self[] = {nullptr, stream.get()};
    if (ref::steal(
            PyObject_VectorcallMethod(method, self + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr))) {
        return;
    }
    PyObject* const failure = PyErr_GetRaisedException();
    const bool closed = is_closed(stream.get());
    PyErr_SetRaisedException(failure); // whatever its attribute raised
    if (report && !closed) {
        PyErr_WriteUnraisable(stream.get());
    } else {
        PyErr_Clear(); // closed; or stderr, and there is nowhere else to say it
    }
}

} // namespace

void flush_streams() {
    // Each call ends with this, most of them with nothing to write: an interned name is found faster.
    const ref method = ref::steal(PyUnicode_InternFromString("flush"));
    if (!method) {
        PyErr_Clear(); // no memory: what is left is written later
        return;
    }
    flush("stdout", method.get(), true);
    flush("stderr", method.get(), false);
}

} // namespace isthmus::py

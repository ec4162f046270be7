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

void flush(const char* name, bool report) {
    const ref stream = ref::share(PySys_GetObject(name));
    if (!stream || stream.get() == Py_None) {
        return;
    }
    if (const ref flushed = ref::steal(PyObject_CallMethod(stream.get(), "flush", nullptr)); flushed) {
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
    flush("stdout", true);
    flush("stderr", false);
}

} // namespace isthmus::py

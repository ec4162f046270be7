/// Everything without a native kind: pickle protocol 5, with what is large or has an identity out of band.
#pragma once

#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

namespace isthmus::crossing {

/// Writes `o` into `into` as one pickle. Exact `bytes` and `str` at or above the threshold, channel ends,
/// interpreters and what crosses as a view are not pickled but written as values (so a list of large `bytes`
/// is a list of twins), and so are out-of-band buffers. Throws python_error: NotShareableError with path and
/// type if the object can't be pickled, else what pickling raised.
void write_pickle(core::interpreter& from, PyObject* o, core::parcel& into);

/// The object of a pickle with its persistent values and buffers (lists, in order of first use).
[[nodiscard]] py::ref unpickle(PyObject* data, PyObject* persistents, PyObject* buffers);

} // namespace isthmus::crossing

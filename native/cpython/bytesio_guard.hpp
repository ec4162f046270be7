/// Keeps `io.BytesIO` from writing into memory that another interpreter owns.
///
/// `BytesIO(x)` keeps exact `bytes` without copying and, while it holds the only reference, writes into them
/// in place (`write`, `truncate`, `getbuffer`). With the guard, a BytesIO that is given a protected object
/// shares it with the guard: a second strong reference lives exactly as long as the BytesIO, or until it is
/// initialised anew with other `bytes`. BytesIO then sees a shared buffer and copies before it writes, as it
/// does for any shared object.
///
/// Closing an interpreter needs no call: BytesIO objects die after `atexit` and after module teardown, so the
/// slots stay patched until the type itself is gone. The guard's code must stay loaded (extension modules are
/// never unloaded), its table lives for ever, and no part of it comes from an interpreter's allocator.
#pragma once

#include "cpython/refs.hpp"

#include <cstddef>

namespace isthmus::py {

/// Says whether the exact `bytes` object `o` is a foreign twin, which must never be written in place.
/// Called with the GIL of the interpreter that uses `o`; must not run Python code. The answer for one object
/// must not turn from false to true while the object lives.
using protects_fn = bool (*)(PyObject* o) noexcept;

/// Shorter `bytes` are never asked about, so that small BytesIO objects cost what they always did.
/// In bytes of payload; no twin may be shorter.
inline constexpr Py_ssize_t min_guarded_size = 1024;

/// Guards `_io.BytesIO` of the *current* interpreter and its subclasses, those made later included.
///
/// Needs an attached thread state without a pending error. Every call patches what is not patched yet and
/// repeats the self-test, so calling again is harmless; `protects` must be the same function in every call of
/// the process. True: the guard is in place and its self-test held. False, with no error left set: it is not
/// (somebody else patched BytesIO, an unknown layout), and this interpreter must be given copies. Throws
/// python_error (MemoryError), std::bad_alloc.
///
/// A second copy of the `_io` module (removed from `sys.modules` and imported again) has a BytesIO of its
/// own, which stays unguarded until the next call.
[[nodiscard]] bool install_bytesio_guard(protects_fn protects);

/// Number of BytesIO objects, in all interpreters, for which the guard holds a second reference.
/// Any thread, no GIL. A gauge: a BytesIO that its interpreter leaked stays counted until its address is used
/// again, or its interpreter's is.
[[nodiscard]] std::size_t guarded_bytesio_count() noexcept;

} // namespace isthmus::py

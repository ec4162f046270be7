/// For hosts that use Python's C API: objects of the interpreter that the calling thread is in, as values of
/// C++, and back. Does not need Python.h.
///
/// Thread and GIL: in an interpreter, under its GIL: inside an `entered` scope, in code that Python called,
/// or on a thread that the host itself attached to it. The interpreter is one of isthmus's, or the main one,
/// or any other that has imported isthmus.
#pragma once

#include <isthmus/value.hpp>

struct _object; // PyObject

namespace isthmus {

/// Bytes and text of 64 KiB and more without a copy, `memoryview` as a buffer of the same memory, all else as
/// from a call. `o` is borrowed and not null. No exception may be set. Throws not_shareable_error,
/// python_error (what code of the object's own raised), interpreter_error: the thread is in no interpreter
/// that isthmus knows; std::bad_alloc.
[[nodiscard, gnu::visibility("default")]] value from_object(_object* o);

/// A new reference; never null. Throws as from_object, but for not_shareable_error; and not_shareable_error
/// for what can be sent only once and was.
[[nodiscard, gnu::visibility("default")]] _object* to_object(const value& v);

} // namespace isthmus

/// `PendingCall`: what `Interpreter.post` returns.
#pragma once

#include "module/state.hpp"

#include "core/message.hpp"

namespace isthmus::module {

void add_pending_call_type(PyObject* module);

/// Posts an encoded call to the interpreter of `o`, an Interpreter object, and makes a PendingCall of it.
/// Throws python_error: InterpreterError, RuntimeError (no thread).
[[nodiscard]] py::ref post(PyObject* o, core::message call);

} // namespace isthmus::module

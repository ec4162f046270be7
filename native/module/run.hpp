/// Running code in another interpreter's `__main__` on the calling thread.
#pragma once

#include "module/state.hpp"

namespace isthmus::module {

struct job {
    PyObject* source = nullptr; ///< str, or null: only set names
    PyObject* names = nullptr;  ///< dict of values to set in `__main__` first, or null
    bool as_itself =
        false; ///< builtin exceptions arrive as themselves (PEP 554), else always ExecutionFailed (PEP 734)
};

/// Throws python_error: what the job raised, or InterpreterError (closed, running), NotShareableError. The
/// names are encoded before anything happens in the other interpreter.
void run_job(state& s, const core::interpreter_ref& target, const job& work);

} // namespace isthmus::module

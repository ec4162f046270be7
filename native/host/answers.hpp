/// How jobs went, as the host learns it: values and exceptions of C++.
#pragma once

#include <isthmus/python_error.hpp>
#include <isthmus/value.hpp>

#include "module/run.hpp"

namespace isthmus::host {

/// The result. Throws python_error, not_shareable_error, interpreter_error, std::bad_alloc. Any thread, no
/// GIL.
[[nodiscard]] value open_answer(const core::interpreter& of, module::answer given);

/// The Python exception that is set, which is cleared. In `here`, under its GIL.
[[nodiscard]] python_error taken_error(core::interpreter& here);

/// The Python exception that is set, thrown as isthmus::python_error: for code that is not a job.
template <typename Body> auto translating(core::interpreter& here, Body body) {
    try {
        return body();
    } catch (const py::python_error&) {
        throw taken_error(here);
    }
}

} // namespace isthmus::host

/// Objects and values for hosts that use the C API themselves: include/isthmus/c_api.hpp.
#include <isthmus/c_api.hpp>

#include "host/answers.hpp"
#include "host/objects.hpp"

#include "module/attaching.hpp"
#include "module/run.hpp"
#include "module/state.hpp"

#include "cpython/current.hpp"

namespace isthmus {
namespace {

/// The interpreter that the thread is in. Importing the package attaches isthmus to one that is not its own.
core::interpreter& here() {
    if (PyThreadState_GetUnchecked() == nullptr) {
        throw interpreter_error("objects become values, and values objects, inside an interpreter");
    }
    if (core::interpreter* const known = py::current_interpreter()) {
        return *known;
    }
    try {
        return *module::current_state().here;
    } catch (const py::python_error&) {
        throw interpreter_error("isthmus can't be imported in this interpreter: " +
                                module::taken_error().value_or("no memory"));
    }
}

/// The Python exception that is set.
[[noreturn]] void raise_taken(core::interpreter& in) {
    py::ref exception = py::ref::steal(PyErr_GetRaisedException());
    if (module::is_not_shareable(exception.get())) {
        PyErr_SetRaisedException(exception.release());
        throw not_shareable_error(module::taken_error().value_or("no memory"));
    }
    PyErr_SetRaisedException(exception.release());
    throw host::taken_error(in);
}

template <typename Body> auto translating(core::interpreter& in, Body body) {
    try {
        return body();
    } catch (const py::python_error&) {
    }
    raise_taken(in);
}

} // namespace

value from_object(_object* o) {
    core::interpreter& in = here();
    return translating(in, [&] {
        std::optional<value> other;
        const detail::scalar small = host::from_object(in, o, other);
        return detail::whole(small, other);
    });
}

_object* to_object(const value& v) {
    core::interpreter& in = here();
    return translating(in, [&] { return host::to_object(in, v).release(); });
}

} // namespace isthmus

#include "module/arguments.hpp"

#include <cerrno>
#include <cmath>
#include <system_error>

namespace isthmus::module {

using py::require;

std::uint64_t id_of(PyObject* integer) noexcept {
    int overflow = 0;
    const long long id = PyLong_AsLongLongAndOverflow(integer, &overflow);
    return overflow == 0 && id > 0 ? static_cast<std::uint64_t>(id) : 0;
}

PyObject* descriptor_of(core::conduit& of, core::end which, core::party& by) {
    try {
        return PyLong_FromLong(of.watch(which, by));
    } catch (const std::system_error& error) {
        errno = error.code().value();
        PyErr_SetFromErrno(PyExc_OSError);
        throw py::python_error{};
    }
}

core::futex::deadline deadline_of(PyObject* timeout) {
    if (timeout == nullptr || timeout == Py_None) {
        return std::nullopt;
    }
    const double seconds = PyFloat_AsDouble(timeout);
    require(seconds == -1.0 && PyErr_Occurred() != nullptr ? -1 : 0);
    if (std::isnan(seconds) || seconds < 0) {
        py::fail(PyExc_ValueError, "timeout must be a non-negative number of seconds");
    }
    constexpr double ten_years = 3e8; // nobody waits longer; a sum with the clock can't overflow
    if (seconds > ten_years) {
        return std::nullopt;
    }
    return core::futex::now() + static_cast<core::futex::nanoseconds>(seconds * 1e9);
}

} // namespace isthmus::module

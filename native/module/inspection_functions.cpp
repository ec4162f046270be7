#include "module/inspection_functions.hpp"

#include "cpython/refs.hpp"

#include "core/inspector.hpp"
#include "core/snapshot.hpp"

#include <exception>
#include <string>

namespace isthmus::module {
namespace {

/// What `body` returns or throws, with the GIL given up meanwhile.
template <typename Body> std::string unattached(Body body) {
    std::string result;
    std::exception_ptr failure;
    Py_BEGIN_ALLOW_THREADS;
    try {
        result = body();
    } catch (const std::exception&) {
        failure = std::current_exception();
    }
    Py_END_ALLOW_THREADS;
    if (failure != nullptr) {
        std::rethrow_exception(failure);
    }
    return result;
}

PyObject* path_object(const std::string& path) {
    return PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size()));
}

/// OSError, or the subclass that its number names.
[[noreturn]] void raise(const core::place_error& error) {
    const int number = error.code().value();
    const py::ref path = py::require(path_object(error.path()));
    if (error.why().empty()) {
        errno = number;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path.get());
    } else {
        const py::ref made =
            py::require(PyObject_CallFunction(PyExc_OSError, "isO", number, error.why().c_str(), path.get()));
        PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.get())), made.get());
    }
    throw py::python_error{};
}

} // namespace

PyObject* inspection_serve(PyObject*, PyObject*) {
    return py::guarded<PyObject*>(nullptr, []() -> PyObject* {
        try {
            return path_object(unattached([] { return core::the_inspector().start(); }));
        } catch (const core::place_error& error) {
            raise(error);
        }
    });
}

PyObject* inspection_stop(PyObject*, PyObject*) {
    Py_BEGIN_ALLOW_THREADS;
    core::the_inspector().stop();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyObject* inspection_path(PyObject*, PyObject*) {
    return py::guarded<PyObject*>(nullptr, []() -> PyObject* {
        const std::string path = unattached([] { return core::the_inspector().path(); });
        return path.empty() ? Py_NewRef(Py_None) : path_object(path);
    });
}

PyObject* inspection_snapshot(PyObject*, PyObject*) {
    return py::guarded<PyObject*>(nullptr, []() -> PyObject* {
        const std::string json = unattached([] { return core::snapshot::take().to_json(); });
        return PyBytes_FromStringAndSize(json.data(), static_cast<Py_ssize_t>(json.size()));
    });
}

} // namespace isthmus::module

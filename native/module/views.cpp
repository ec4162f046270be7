#include "module/views.hpp"

#include "module/arguments.hpp"
#include "module/ends.hpp"

#include "crossing/views.hpp"

#include "cpython/twin.hpp"

namespace isthmus::module {

void add_view_type(PyObject* module) {
    state_of(module).view_type =
        reinterpret_cast<PyTypeObject*>(crossing::make_exporter_type(module).release());
}

py::ref unpack_view(state& s, core::attachment& travelling) {
    return crossing::unpack_view(s.here, s.view_type, travelling);
}

PyObject* send_buffer(PyObject* end, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return py::guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [obj, timeout] = parse<2>("send_buffer", {"obj", "timeout"}, 1, args, count, keywords);
        const core::futex::deadline until = deadline_of(timeout);
        core::interpreter& here = *state_of_type(Py_TYPE(end)).here;
        py::drain(here);
        send_message(end, crossing::encode_view(here, obj), until);
        Py_RETURN_NONE;
    });
}

} // namespace isthmus::module

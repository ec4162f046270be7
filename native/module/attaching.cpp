#include "module/attaching.hpp"

#include "cpython/lifecycle.hpp"

namespace isthmus::module {

using py::ref;

std::optional<std::string> taken_error() noexcept {
    const ref error = ref::steal(PyErr_GetRaisedException());
    if (PyErr_GivenExceptionMatches(error.get(), PyExc_MemoryError) != 0) {
        return std::nullopt;
    }
    try {
        std::string text = Py_TYPE(error.get())->tp_name;
        const ref said = ref::steal(PyObject_Str(error.get()));
        const char* const utf8 = said ? PyUnicode_AsUTF8(said.get()) : nullptr;
        PyErr_Clear(); // one without a text is told by its class
        if (utf8 != nullptr && *utf8 != '\0') {
            text.append(": ").append(utf8);
        }
        return text;
    } catch (const std::bad_alloc&) {
        return std::nullopt;
    }
}

core::interpreter_ref resolve(const state& s, std::int64_t number) {
    py::reap();
    if (core::interpreter_ref known = core::interpreters().find_number(number); known != nullptr) {
        return known;
    }
    PyInterpreterState* const found = py::compat::look_up(number);
    if (found == nullptr) {
        py::fail(s.not_found_error, "there is no interpreter with id %lld", static_cast<long long>(number));
    }
    core::interpreter target;
    target.state = found;
    core::interpreter_ref record;
    std::optional<std::string> why;
    {
        const py::entered inside(target);
        try {
            record = py::attach_current();
        } catch (const py::python_error&) {
            why = taken_error();
        }
    }
    if (record != nullptr) {
        return record;
    }
    if (!why) {
        throw std::bad_alloc{};
    }
    py::fail(s.interpreter_error, "isthmus can't attach to interpreter %lld: %s",
             static_cast<long long>(number), why->c_str());
}

} // namespace isthmus::module

/// The first half of a job, in the caller's interpreter.

#include "module/run.hpp"

#include "crossing/crossing.hpp"

#include <marshal.h>

namespace isthmus::module {
namespace {

using py::ref;
using py::require;

/// UTF-8, null characters included.
std::string text_of(PyObject* o) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(o, &size);
    if (text == nullptr) {
        throw py::python_error{};
    }
    return {text, static_cast<std::size_t>(size)};
}

/// In a NotShareableError that is set: "[1][0]: ..." is about the second part of a call, its first argument.
void name_part_of_call() {
    const ref error = ref::steal(PyErr_GetRaisedException());
    const ref text = require(PyObject_Str(error.get()));
    constexpr std::pair<const char*, const char*> parts[] = {
        {"[0]", "callable"}, {"[1]", "args"}, {"[2]", "kwargs"}};
    for (const auto& [path, name] : parts) {
        const ref start = require(PyUnicode_FromString(path));
        if (PyUnicode_Tailmatch(text.get(), start.get(), 0, PY_SSIZE_T_MAX, -1) == 1) {
            const ref rest = require(PyUnicode_Substring(text.get(), 3, PyUnicode_GET_LENGTH(text.get())));
            const ref better = require(PyUnicode_FromFormat("%s%U", name, rest.get()));
            const ref args = require(PyTuple_Pack(1, better.get()));
            require(PyObject_SetAttrString(error.get(), "args", args.get()));
        }
    }
    PyErr_SetRaisedException(Py_NewRef(error.get()));
}

} // namespace

job setting_names(state& s, PyObject* names) {
    job made;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t at = 0; names != nullptr && PyDict_Next(names, &at, &key, &value) != 0;) {
        if (!PyUnicode_Check(key)) {
            py::fail(PyExc_TypeError, "names in __main__ must be str, not %R", key);
        }
        std::string name = text_of(key);
        const ref held = ref::share(value);
        made.names.push_back({std::move(name), crossing::encode(*s.here, held.get())});
    }
    return made;
}

job running_source(state& s, PyObject* source, PyObject* names, const char* function) {
    if (!PyUnicode_Check(source)) {
        py::fail(PyExc_TypeError, "%s() takes source text as str, not %.200s", function,
                 Py_TYPE(source)->tp_name);
    }
    job made = setting_names(s, names);
    made.source = text_of(source);
    if (made.source->find('\0') != std::string::npos) {
        py::fail(PyExc_ValueError, "source text must not contain null characters");
    }
    return made;
}

job running_script(state& s, PyObject* code) {
    const bool is_code = PyCode_Check(code);
    if (PyUnicode_Check(code)) {
        return running_source(s, code, nullptr, "exec");
    }
    if (!is_code && !PyFunction_Check(code)) {
        py::fail(PyExc_TypeError, "exec() takes str, a code object or a function, not %.200s",
                 Py_TYPE(code)->tp_name);
    }
    const ref functions = require(PyImport_ImportModule("isthmus._functions"));
    const ref script = require(PyObject_CallMethod(functions.get(), "script", "O", code));
    if (!is_code) {
        const ref nothing = require(PyTuple_New(0));
        return calling(s, script.get(), nothing.get(), nullptr);
    }
    job made;
    made.code = crossing::encode(*s.here, script.get());
    return made;
}

job calling(state& s, PyObject* function, PyObject* args, PyObject* keywords) {
    const bool named = keywords != nullptr && PyDict_GET_SIZE(keywords) != 0;
    const ref whole = require(PyTuple_Pack(3, function, args, named ? keywords : Py_None));
    job made;
    try {
        made.call = crossing::encode(*s.here, whole.get());
    } catch (const py::python_error&) {
        if (PyErr_ExceptionMatches(s.not_shareable_error)) {
            name_part_of_call();
        }
        throw;
    }
    return made;
}

} // namespace isthmus::module

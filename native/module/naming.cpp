#include "module/naming.hpp"

#include "crossing/crossing.hpp"

#include "cpython/kept_names.hpp"

#include <string_view>

namespace isthmus::module {
namespace {

using py::ref;
using py::require;

ref str_of(std::string_view part) {
    return require(PyUnicode_DecodeUTF8(part.data(), static_cast<Py_ssize_t>(part.size()), "strict"));
}

ref attributes_of(ref from, std::string_view path) {
    while (!path.empty()) {
        const std::size_t dot = path.find('.');
        const ref name = str_of(path.substr(0, dot));
        from = require(PyObject_GetAttr(from.get(), name.get()));
        path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
    }
    return from;
}

ref imported(std::string_view module) {
    return require(PyImport_Import(str_of(module).get()));
}

bool has_empty_part(std::string_view name) {
    return name.empty() || name.front() == '.' || name.back() == '.' ||
           name.find("..") != std::string_view::npos;
}

/// Null, with no error, if it is not there.
ref in_main(core::interpreter& here, std::string_view name, PyObject* main) {
    PyObject* found = nullptr;
    require(PyDict_GetItemRef(main, py::str_of(here, name).get(), &found));
    return ref::steal(found);
}

} // namespace

ref find_callable(core::interpreter& here, const std::string& name, PyObject* main) {
    const std::string_view whole = name;
    const std::size_t colon = whole.find(':');
    const std::string_view module = whole.substr(0, colon);
    if (has_empty_part(module) ||
        (colon != std::string_view::npos && has_empty_part(whole.substr(colon + 1)))) {
        py::fail(PyExc_ValueError, "%s does not name a callable: 'f', 'module.f' or 'module:C.f' would",
                 name.c_str());
    }
    if (colon != std::string_view::npos) {
        return attributes_of(imported(module), whole.substr(colon + 1));
    }
    const std::size_t first = whole.find('.');
    ref found = in_main(here, whole.substr(0, first), main);
    if (found) {
        return first == std::string_view::npos ? std::move(found)
                                               : attributes_of(std::move(found), whole.substr(first + 1));
    }
    if (first != std::string_view::npos) {
        const std::size_t last = whole.rfind('.');
        return attributes_of(imported(whole.substr(0, last)), whole.substr(last + 1));
    }
    const ref builtins = require(PyImport_ImportModule("builtins"));
    ref builtin;
    if (PyObject* given = nullptr;
        PyObject_GetOptionalAttr(builtins.get(), str_of(whole).get(), &given) >= 0) {
        builtin = ref::steal(given);
    } else {
        throw py::python_error{};
    }
    if (!builtin) {
        py::fail(PyExc_NameError, "name '%s' is not defined", name.c_str());
    }
    return builtin;
}

decoded_call decode_named(core::interpreter& here, job::named_call& named, PyObject* main) {
    ref arguments = require(PyTuple_New(static_cast<Py_ssize_t>(named.positional.size())));
    Py_ssize_t at = 0;
    for (core::message& each : named.positional) {
        PyTuple_SET_ITEM(arguments.get(), at++, crossing::decode(here, std::move(each)).release());
    }
    ref keywords = ref::share(Py_None);
    if (!named.keywords.empty()) {
        keywords = require(PyDict_New());
        for (job::named_message& each : named.keywords) {
            const ref value = crossing::decode(here, std::move(each.value));
            require(PyDict_SetItem(keywords.get(), str_of(each.name).get(), value.get()));
        }
    }
    return {find_callable(here, named.name, main), std::move(arguments), std::move(keywords)};
}

} // namespace isthmus::module

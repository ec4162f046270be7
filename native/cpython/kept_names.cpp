#include "cpython/kept_names.hpp"

#include <array>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace isthmus::py {
namespace {

constexpr std::array<const char*, 3> spelled = {"__main__", "stdout", "stderr"};
/// A longer name is made each time.
constexpr std::size_t longest = 200;

struct kept {
    std::array<ref, spelled.size()> known;
    ref sys; ///< the dict of the module
    std::string last_text;
    ref last;
};

/// Null: nothing is kept any more, or there is no memory for it.
kept* kept_in(core::interpreter& here) noexcept {
    if (here.exited.load(std::memory_order_relaxed)) {
        return nullptr;
    }
    if (here.kept_names == nullptr) {
        here.kept_names = new (std::nothrow) kept;
    }
    return static_cast<kept*>(here.kept_names);
}

ref made(known_name which) {
    return require(PyUnicode_InternFromString(spelled.at(static_cast<std::size_t>(which))));
}

ref name_of(kept* in, known_name which) {
    if (in == nullptr) {
        return made(which);
    }
    ref& place = in->known.at(static_cast<std::size_t>(which));
    if (!place) {
        place = made(which);
    }
    return ref::share(place.get());
}

ref looked_up(PyObject* dict, PyObject* name) {
    PyObject* found = nullptr;
    require(PyDict_GetItemRef(dict, name, &found));
    return ref::steal(found);
}

ref dict_of_sys(kept* in) {
    if (in != nullptr && in->sys) {
        return ref::share(in->sys.get());
    }
    const ref module = require(PyImport_ImportModule("sys"));
    ref dict = ref::share(PyModule_GetDict(module.get()));
    if (in != nullptr) {
        in->sys = ref::share(dict.get());
    }
    return dict;
}

} // namespace

ref standard_stream(core::interpreter& here, known_name which) {
    try {
        kept* const in = kept_in(here);
        return looked_up(dict_of_sys(in).get(), name_of(in, which).get());
    } catch (const python_error&) {
        PyErr_Clear(); // as PySys_GetObject
        return {};
    }
}

ref main_module(core::interpreter& here) {
    ref found = looked_up(PyImport_GetModuleDict(), name_of(kept_in(here), known_name::main).get());
    return found && PyModule_Check(found.get()) ? std::move(found)
                                                : require(PyImport_AddModuleRef(spelled.front()));
}

ref str_of(core::interpreter& here, std::string_view utf8) {
    kept* const in = kept_in(here);
    if (in != nullptr && in->last && in->last_text == utf8) {
        return ref::share(in->last.get());
    }
    ref fresh = require(PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), "strict"));
    if (in != nullptr && utf8.size() <= longest) {
        in->last = {};
        in->last_text = utf8;
        in->last = ref::share(fresh.get());
    }
    return fresh;
}

void let_go_of_names(core::interpreter& here) noexcept {
    const std::unique_ptr<kept> gone(static_cast<kept*>(std::exchange(here.kept_names, nullptr)));
}

} // namespace isthmus::py

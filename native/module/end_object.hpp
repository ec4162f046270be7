/// The Python object behind RecvChannel and SendChannel, for the files that implement their methods.
#pragma once

#include "module/state.hpp"

#include "cpython/methods.hpp"

#include "core/channel.hpp"

#include <algorithm>
#include <array>

namespace isthmus::module {

/// One end in one interpreter. The party is the interpreter's, so that a thread state is not needed to know
/// it at dealloc.
struct end_object {
    PyObject_HEAD;
    std::shared_ptr<core::channel> of;
    core::interpreter_ref here;
    state* module; ///< the type keeps the module alive
    PyObject* weak_references;
};

[[nodiscard]] inline end_object& end_of(PyObject* o) noexcept {
    return *reinterpret_cast<end_object*>(o);
}

/// Their tables; static storage, as CPython wants it.
[[nodiscard]] PyMethodDef* recv_methods(); // receiving.cpp
[[nodiscard]] PyMethodDef* send_methods(); // sending.cpp
/// `__next__` of RecvChannel.
PyObject* recv_next(PyObject* o);

inline constexpr char end_close_doc[] =
    "close($self)\n--\n\nDrop this interpreter's association with the end and forbid a new one. True the "
    "first time.";
inline constexpr char poison_doc[] =
    "poison($self, exc, /)\n--\n\n"
    "End the channel for everybody: from now on each operation on it, waiting ones included, raises `exc`, "
    "an "
    "exception or\nexception class. What is buffered is dropped.\n\n"
    "NotShareableError if `exc` can't be pickled; EOFError, ValueError as for other operations; if it is "
    "poisoned already, that poison.";
inline constexpr char statistics_doc[] =
    "statistics($self)\n--\n\nCounts of what passed and what waits, as a named tuple ChannelStatistics.";

// What both ends have.
PyObject* end_close(PyObject* o, PyObject*);
PyObject* end_poison(PyObject* o, PyObject* exception);
PyObject* end_statistics(PyObject* o, PyObject*);
PyObject* end_fileno(PyObject* o, PyObject*); // each end tells what its descriptor means
PyObject* end_enter(PyObject* o, PyObject*);
PyObject* end_exit(PyObject* o, PyObject*);
PyObject* end_reduce(PyObject* o, PyObject*);

inline constexpr std::array common_methods = {
    PyMethodDef{"close", end_close, METH_NOARGS, end_close_doc},
    PyMethodDef{"poison", end_poison, METH_O, poison_doc},
    PyMethodDef{"statistics", end_statistics, METH_NOARGS, statistics_doc},
    PyMethodDef{"__enter__", end_enter, METH_NOARGS, nullptr},
    PyMethodDef{"__exit__", end_exit, METH_VARARGS, py::exit_doc},
    PyMethodDef{"__reduce__", end_reduce, METH_NOARGS, nullptr}};

/// The table of an end that has `own` besides.
template <std::size_t Own>
[[nodiscard]] constexpr auto with_common_methods(const PyMethodDef (&own)[Own]) noexcept {
    std::array<PyMethodDef, Own + common_methods.size() + 1> table{}; // the last one is CPython's end mark
    std::ranges::copy(common_methods, std::ranges::copy(own, table.begin()).out);
    return table;
}

} // namespace isthmus::module

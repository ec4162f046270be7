/// The Python object behind RecvChannel and SendChannel, for the files that implement their methods.
#pragma once

#include "module/state.hpp"

#include "core/channel.hpp"

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

extern PyMethodDef recv_methods[]; // receiving.cpp
extern PyMethodDef send_methods[]; // sending.cpp
/// `__next__` of RecvChannel.
PyObject* recv_next(PyObject* o);

inline constexpr char close_doc[] =
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

// What both ends have, for the tables of both.
PyObject* end_close(PyObject* o, PyObject*);
PyObject* end_poison(PyObject* o, PyObject* exception);
PyObject* end_statistics(PyObject* o, PyObject*);
PyObject* end_fileno(PyObject* o, PyObject*);
PyObject* end_enter(PyObject* o, PyObject*);
PyObject* end_exit(PyObject* o, PyObject*);
PyObject* end_reduce(PyObject* o, PyObject*);

} // namespace isthmus::module

/// `select`: one wait for several channels and queues.
#pragma once

#include "cpython/refs.hpp"

namespace isthmus::module {

PyObject* select(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords);
inline constexpr char select_doc[] =
    "select(*cases, timeout=None)\n--\n\n"
    "Wait until one of several operations happened; return (case, value).\n\n"
    "A case is a RecvChannel, a Queue (for get), an interpreter's `closed`, or a tuple (SendChannel, obj); "
    "the last two's value is None. Exactly one happens: the first to\n"
    "become ready; of several that are ready, one at random. A case that can't go on raises what its own "
    "operation would (EOFError,\n"
    "ValueError, QueueShutDown, a poison) with the end or queue as `.channel`. TimeoutError after `timeout` "
    "seconds; nothing happened\n"
    "then. TypeError for what is no case, ValueError for no cases and no timeout.";

} // namespace isthmus::module

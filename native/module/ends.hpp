/// `RecvChannel` and `SendChannel`: the two ends of a channel as Python objects, and how they cross.
#pragma once

#include "module/state.hpp"

#include "core/channel.hpp"

namespace isthmus::module {

/// Makes the two types for one interpreter's module. Throws python_error.
void add_end_types(PyObject* module);

/// A new end object in the current interpreter. Throws python_error, std::bad_alloc.
[[nodiscard]] py::ref make_end(state& s, core::end which, std::shared_ptr<core::channel> channel);

/// The same for the channel with an id, a Python int. ValueError: there is none, or nobody refers to it.
[[nodiscard]] py::ref end_with_id(state& s, core::end which, PyObject* id);

/// Sends `m` through `send_end` and waits as `send` does. Throws python_error if it was not sent.
void send_message(PyObject* send_end, core::message m, core::futex::deadline until);

/// The travelling form of an end, or null if `o` is none.
[[nodiscard]] std::unique_ptr<core::attachment> pack_end(state& s, PyObject* o);
/// Null if `travelling` is no end of a channel.
[[nodiscard]] py::ref unpack_end(state& s, core::attachment& travelling);

/// Raises what an outcome other than ok means for an operation on `of`. Throws python_error.
[[noreturn]] void raise_outcome(const state& s, core::outcome how, core::channel& of);

// Module functions.
PyObject* create_channel(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords);
PyObject* list_all_channels(PyObject* module, PyObject*);

} // namespace isthmus::module

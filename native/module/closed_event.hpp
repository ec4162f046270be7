/// `ClosedEvent`: what `Interpreter.closed` is. It refers to the end of an interpreter, and keeps none open.
#pragma once

#include "module/state.hpp"

#include "core/death_notice.hpp"
#include "core/message.hpp"

#include <memory>

namespace isthmus::module {

struct closed_event_object {
    PyObject_HEAD;
    std::shared_ptr<core::death_notice> of;
    core::interpreter_ref here;
    state* module; ///< the type keeps the module alive
};

[[nodiscard]] inline closed_event_object& closed_event_of(PyObject* o) noexcept {
    return *reinterpret_cast<closed_event_object*>(o);
}

void add_closed_event_type(PyObject* module);
/// Throws python_error, std::bad_alloc.
[[nodiscard]] py::ref make_closed_event(state& s, std::shared_ptr<core::death_notice> of);

[[nodiscard]] std::unique_ptr<core::attachment> pack_closed_event(state& s, PyObject* o);
/// Null if `travelling` is none.
[[nodiscard]] py::ref unpack_closed_event(state& s, core::attachment& travelling);

} // namespace isthmus::module

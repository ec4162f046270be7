#include "module/standard_library.hpp"

#include "module/end_object.hpp"
#include "module/ends.hpp"
#include "module/queues.hpp"

#include "cpython/compat.hpp"

namespace isthmus::module {
namespace {

using py::guarded;
using py::ref;
using py::require;

/// What travels is the id alone: if nobody held the object on its way, none is left to be found.
ref id_in(void* record) {
    return require(PyLong_FromUnsignedLongLong(py::compat::crossing_value(record)));
}

template <core::end Which> PyObject* put_end_together(void* record) {
    return guarded<PyObject*>(
        nullptr, [&] { return end_with_id(current_state(), Which, id_in(record).get()).release(); });
}

template <core::end Which> int take_end_apart(PyThreadState*, PyObject* o, void* record) {
    py::compat::fill_crossing(record, end_of(o).of->id(), put_end_together<Which>);
    return 0;
}

PyObject* put_queue_together(void* record) {
    return guarded<PyObject*>(nullptr,
                              [&] { return queue_with_id(current_state(), id_in(record).get()).release(); });
}

int take_queue_apart(PyThreadState*, PyObject* o, void* record) {
    py::compat::fill_crossing(record, queue_of(o).of->id(), put_queue_together);
    return 0;
}

} // namespace

void let_standard_library_pass(const state& s) noexcept {
    const bool known = py::compat::register_crossing(s.recv_type, take_end_apart<core::end::recv>) &&
                       py::compat::register_crossing(s.send_type, take_end_apart<core::end::send>) &&
                       py::compat::register_crossing(s.queue_type, take_queue_apart);
    if (!known) {
        PyErr_Clear(); // its queues then refuse them by name; ours take them all the same
    }
}

} // namespace isthmus::module

#include "module/standard_library.hpp"

#include "module/end_object.hpp"
#include "module/ends.hpp"
#include "module/queues.hpp"

#include "cpython/compat.hpp"

namespace isthmus::module {
namespace {

using py::guarded;

template <core::end Which> PyObject* put_end_together(void* record) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const core::channel_id id = py::compat::crossing_value(record);
        std::shared_ptr<core::channel> of = core::channel::all().find(id);
        if (of == nullptr) {
            py::fail(PyExc_ValueError,
                     "channel %llu is gone: nobody held it while an end of it was on its way",
                     static_cast<unsigned long long>(id));
        }
        return make_end(current_state(), Which, std::move(of)).release();
    });
}

template <core::end Which> int take_end_apart(PyThreadState*, PyObject* o, void* record) {
    py::compat::fill_crossing(record, end_of(o).of->id(), put_end_together<Which>);
    return 0;
}

PyObject* put_queue_together(void* record) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const core::queue_id id = py::compat::crossing_value(record);
        std::shared_ptr<core::queue> of = core::queue::all().find(id);
        if (of == nullptr) {
            py::fail(PyExc_ValueError, "queue %llu is gone: nobody held it while it was on its way",
                     static_cast<unsigned long long>(id));
        }
        return make_queue(current_state(), std::move(of)).release();
    });
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
        PyErr_Clear();
    }
}

} // namespace isthmus::module

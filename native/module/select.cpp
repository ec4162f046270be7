#include "module/select.hpp"

#include "module/arguments.hpp"
#include "module/closed_event.hpp"
#include "module/end_object.hpp"
#include "module/ends.hpp"
#include "module/queues.hpp"

#include "crossing/crossing.hpp"

#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "core/select.hpp"

#include <vector>

namespace isthmus::module {
namespace {

using core::message;
using core::outcome;
using py::guarded;
using py::ref;
using py::require;

/// Selects have no place of their own to learn at: what they wait for changes from call to call.
constinit core::spin_budget spinning;

/// The cases of one call. References to the objects are the caller's: they outlive it.
class case_list {
  public:
    case_list(state& s, PyObject* const* objects, std::size_t count) : s_(s), objects_(objects, count) {
        cargo_.resize(count);
        cases_.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            cases_.push_back(understand(objects[i], cargo_[i]));
        }
    }

    [[nodiscard]] std::span<const core::select_case> all() const noexcept { return cases_; }

    /// (case, value) of the one that happened, or throws python_error: why it could not.
    PyObject* outcome_of(const core::selected& done) {
        PyObject* const chosen = objects_[done.index];
        PyObject* const on = PyTuple_Check(chosen) ? PyTuple_GET_ITEM(chosen, 0) : chosen;
        const bool is_queue = Py_TYPE(on) == s_.queue_type;
        try {
            if (done.how == outcome::ok) {
                const ref value = Py_TYPE(on) == s_.closed_event_type
                                      ? ref::share(Py_None)
                                      : value_of(done.index, is_queue ? on : nullptr);
                return PyTuple_Pack(2, chosen, value.get());
            }
            if (is_queue) {
                raise_queue_outcome(s_, done.how, core::end::recv, *queue_of(on).of);
            }
            raise_outcome(s_, done.how, *end_of(on).of);
        } catch (const py::python_error&) {
            name_channel(on);
            throw;
        }
    }

  private:
    core::select_case understand(PyObject* o, message& cargo) {
        if (Py_TYPE(o) == s_.recv_type) {
            return {end_of(o).of.get(), core::end::recv, &cargo};
        }
        if (Py_TYPE(o) == s_.queue_type) {
            return {queue_of(o).of.get(), core::end::recv, &cargo};
        }
        if (Py_TYPE(o) == s_.closed_event_type) {
            return {closed_event_of(o).of.get(), core::end::recv, &cargo};
        }
        if (PyTuple_Check(o) && PyTuple_GET_SIZE(o) == 2 && Py_TYPE(PyTuple_GET_ITEM(o, 0)) == s_.send_type) {
            cargo = crossing::encode(*s_.here, PyTuple_GET_ITEM(o, 1));
            return {end_of(PyTuple_GET_ITEM(o, 0)).of.get(), core::end::send, &cargo};
        }
        py::fail(
            PyExc_TypeError,
            "a case is a RecvChannel, a Queue, an interpreter's closed or a tuple (SendChannel, obj), not "
            "%R",
            o);
    }

    ref value_of(std::size_t index, PyObject* queue) {
        if (cases_[index].which == core::end::send) {
            return ref::share(Py_None);
        }
        message m = std::move(cargo_[index]);
        return queue != nullptr ? taken_out(*s_.here, *queue_of(queue).of, std::move(m))
                                : crossing::decode(*s_.here, std::move(m));
    }

    /// Which of many it was. A user's own exception may refuse the attribute.
    static void name_channel(PyObject* on) {
        PyObject* const error = PyErr_GetRaisedException();
        if (PyObject_SetAttrString(error, "channel", on) < 0) {
            PyErr_Clear(); // the error itself still arrives
        }
        PyErr_SetRaisedException(error);
    }

    state& s_;
    std::span<PyObject* const> objects_;
    std::vector<message> cargo_;
    std::vector<core::select_case> cases_;
};

/// The only keyword there is, or null.
PyObject* timeout_of(PyObject* const* keyword_values, PyObject* keywords) {
    const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < named; ++i) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), "timeout") != 0) {
            py::fail(PyExc_TypeError, "select() got an unexpected keyword argument %R",
                     PyTuple_GET_ITEM(keywords, i));
        }
    }
    return named > 0 ? keyword_values[0] : nullptr;
}

} // namespace

PyObject* select(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        state& s = state_of(module);
        const core::futex::deadline until = deadline_of(timeout_of(args + count, keywords));
        if (count == 0 && !until) {
            py::fail(PyExc_ValueError, "select() without cases and without a timeout would wait for ever");
        }
        core::interpreter& here = *s.here;
        py::drain(here);
        case_list cases(s, args, static_cast<std::size_t>(count));
        core::selected done = core::try_select(*here.side, cases.all());
        if (done.how == outcome::would_block) {
            done.how = py::wait_for(here, [&](core::wait_site& site) {
                done = core::select(*here.side, cases.all(), until, site, spinning);
                return done.how;
            });
        }
        switch (done.how) {
        case outcome::timed_out:
            py::fail(PyExc_TimeoutError, "select() timed out");
        case outcome::party_closing:
            py::fail(s.interpreter_error, "select(): this interpreter is being closed");
        default:
            return cases.outcome_of(done);
        }
    });
}

} // namespace isthmus::module

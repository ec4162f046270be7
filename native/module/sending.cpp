/// Methods of SendChannel.

#include "module/arguments.hpp"
#include "module/end_object.hpp"
#include "module/ends.hpp"
#include "module/views.hpp"

#include "crossing/crossing.hpp"

#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include <array>

namespace isthmus::module {
namespace {

using core::message;
using core::outcome;
using py::guarded;
using py::method;
using py::ref;
using py::require;

/// Sends an encoded object, waiting at most until the deadline. Throws python_error.
void deliver(end_object& self, message& m, core::futex::deadline until) {
    core::interpreter& here = *self.here;
    outcome how = self.of->try_send(*here.side, m);
    if (how == outcome::would_block) {
        how = py::wait_for(here,
                           [&](core::wait_site& site) { return self.of->send(*here.side, m, until, site); });
    }
    if (how != outcome::ok) {
        raise_outcome(*self.module, how, *self.of);
    }
}

PyObject* send_send(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [obj, timeout] = parse<2>("send", {"obj", "timeout"}, 1, args, count, keywords);
        const core::futex::deadline until = deadline_of(timeout);
        end_object& self = end_of(o);
        py::drain(*self.here);
        message m = crossing::encode(*self.here, obj);
        deliver(self, m, until);
        Py_RETURN_NONE;
    });
}

PyObject* send_send_nowait(PyObject* o, PyObject* obj) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = end_of(o);
        py::drain(*self.here);
        message m = crossing::encode(*self.here, obj);
        const outcome how = self.of->try_send(*self.here->side, m);
        if (how != outcome::ok && how != outcome::would_block) {
            raise_outcome(*self.module, how, *self.of);
        }
        return PyBool_FromLong(how == outcome::ok ? 1 : 0);
    });
}

/// Iterating over it runs nobody's code, so nothing can wait there for an answer to what is held back.
bool holds_its_values(PyObject* iterable) noexcept {
    return PyList_CheckExact(iterable) || PyTuple_CheckExact(iterable) || PyRange_Check(iterable);
}

/// Encodes ahead and sends in batches what can be had without delay; all else one by one.
class batch {
  public:
    batch(end_object& self, PyObject* values, core::futex::deadline until) noexcept
        : self_(self), until_(until),
          size_(self.of->capacity() != 0 && holds_its_values(values) ? held_.size() : 1) {}

    void add(PyObject* value) {
        held_[count_] = crossing::encode(*self_.here, value);
        if (++count_ == size_ || self_.of->parked_receivers() > 0) { // who waits need not wait for the rest
            flush();
        }
    }

    /// Sends all that is held. Throws python_error; `sent()` tells how far it came.
    void flush() {
        std::size_t done = 0;
        while (done < count_) {
            std::size_t more = 0;
            const auto left = std::span(held_).subspan(done, count_ - done);
            try {
                static_cast<void>(self_.of->try_send_many(*self_.here->side, left, more));
                done += std::exchange(more, 0);
                if (done < count_) {
                    deliver(self_, held_[done], until_);
                    ++done;
                }
            } catch (...) {
                sent_ += done + more;
                drop();
                throw;
            }
        }
        sent_ += done;
        drop();
    }

    [[nodiscard]] std::size_t sent() const noexcept { return sent_; }

  private:
    void drop() noexcept {
        for (message& each : std::span(held_).first(std::exchange(count_, 0))) {
            each.reset();
        }
    }

    end_object& self_;
    core::futex::deadline until_;
    std::array<message, 64> held_;
    std::size_t size_;
    std::size_t count_ = 0;
    std::size_t sent_ = 0;
};

void send_all(batch& held, PyObject* values) {
    const ref iterator = require(PyObject_GetIter(values));
    while (const ref value = ref::steal(PyIter_Next(iterator.get()))) {
        held.add(value.get());
    }
}

PyObject* send_send_many(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [values, timeout] =
            parse<2>("send_many", {"iterable", "timeout"}, 1, args, count, keywords);
        end_object& self = end_of(o);
        batch held(self, values, deadline_of(timeout));
        py::drain(*self.here);
        try {
            // Named anew: clang 14 refuses a structured binding in a lambda.
            py::with_memory_errors([&, iterable = values] { send_all(held, iterable); });
        } catch (const py::python_error&) {
        }
        ref failure = ref::steal(PyErr_GetRaisedException()); // the iterable's, or the one just caught
        try {
            // What came before a value that failed is sent all the same.
            py::with_memory_errors([&] { held.flush(); });
        } catch (const py::python_error&) {
            if (failure) {
                PyErr_Clear(); // of two failures the first is raised
            } else {
                failure = ref::steal(PyErr_GetRaisedException());
            }
        }
        const ref sent = require(PyLong_FromSize_t(held.sent()));
        if (!failure) {
            return Py_NewRef(sent.get());
        }
        if (PyObject_SetAttrString(failure.get(), "sent", sent.get()) < 0) {
            PyErr_Clear(); // an exception without room for attributes still is the answer
        }
        PyErr_SetRaisedException(failure.release());
        throw py::python_error{};
    });
}

} // namespace

void send_message(PyObject* send_end, message m, core::futex::deadline until) {
    deliver(end_of(send_end), m, until);
}

PyMethodDef* send_methods() {
    static const PyMethodDef own[] = {
        {"send", method(send_send), METH_FASTCALL | METH_KEYWORDS,
         "send($self, obj, timeout=None)\n--\n\n"
         "Send `obj`; wait until it was received (rendezvous) or there is room, at most `timeout` "
         "seconds.\n\n"
         "Raises TimeoutError (it was not received); EOFError once the receivers are gone; ValueError if "
         "this interpreter closed its\n"
         "end; what the channel was poisoned with; NotShareableError naming the part that can't cross; "
         "InterpreterError if this interpreter is\nbeing closed."},
        {"send_nowait", send_send_nowait, METH_O,
         "send_nowait($self, obj, /)\n--\n\nSend `obj` if that needs no waiting; return whether it was sent. "
         "Otherwise as send()."},
        {"send_buffer", method(send_buffer), METH_FASTCALL | METH_KEYWORDS, send_buffer_doc},
        {"send_many", method(send_send_many), METH_FASTCALL | METH_KEYWORDS,
         "send_many($self, iterable, timeout=None)\n--\n\n"
         "Send each object of an iterable, in order, as send() would, within `timeout` seconds for all; "
         "return how many.\n\n"
         "An error has the number of those that were sent as `sent`."},
        {"fileno", end_fileno, METH_NOARGS,
         "fileno($self)\n--\n\n"
         "A descriptor that is *readable* while send() would not block, for select, selectors and event "
         "loops.\n\n"
         "At capacity 0: while a receiver waits. Never read from it or close it; it is valid while this "
         "interpreter holds the end.\n"
         "ValueError if this interpreter closed the end; OSError if there are no descriptors left."}};
    static auto table = with_common_methods(own);
    return table.data();
}

} // namespace isthmus::module

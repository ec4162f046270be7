/// Methods of RecvChannel.

#include "module/arguments.hpp"
#include "module/end_object.hpp"
#include "module/ends.hpp"

#include "crossing/crossing.hpp"

#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include <algorithm>
#include <array>

namespace isthmus::module {
namespace {

using core::message;
using core::outcome;
using py::guarded;
using py::method;
using py::ref;
using py::require;

/// Receives into `m`; waits at most until the deadline. Throws python_error.
outcome await_message(end_object& self, core::futex::deadline until, message& m) {
    core::interpreter& here = *self.here;
    py::drain(here);
    const outcome how = self.of->try_recv(*here.side, m);
    if (how != outcome::would_block) {
        return how;
    }
    return py::wait_for(here,
                        [&](core::wait_site& site) { return self.of->recv(*here.side, m, until, site); });
}

/// The next message. Throws python_error, also if there will be none.
message next_message(end_object& self, core::futex::deadline until) {
    message m;
    const outcome how = await_message(self, until, m);
    if (how != outcome::ok) {
        raise_outcome(*self.module, how, *self.of);
    }
    return m;
}

ref received(end_object& self, message&& m) {
    return crossing::decode(*self.here, std::move(m));
}

PyObject* recv_recv(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [timeout] = parse<1>("recv", {"timeout"}, 0, args, count, keywords);
        end_object& self = end_of(o);
        return received(self, next_message(self, deadline_of(timeout))).release();
    });
}

PyObject* recv_recv_nowait(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [fallback] = parse<1>("recv_nowait", {"default"}, 0, args, count, keywords);
        end_object& self = end_of(o);
        py::drain(*self.here);
        message m;
        const outcome how = self.of->try_recv(*self.here->side, m);
        if (how == outcome::would_block) {
            return Py_NewRef(fallback != nullptr ? fallback : Py_None);
        }
        if (how != outcome::ok) {
            raise_outcome(*self.module, how, *self.of);
        }
        return received(self, std::move(m)).release();
    });
}

/// What recv_many has so far. A value that can't be rebuilt must not take its neighbours with it.
class harvest {
  public:
    explicit harvest(end_object& from) : from_(from), values_(require(PyList_New(0))) {}
    ~harvest() { Py_XDECREF(first_error_); }
    harvest(const harvest&) = delete;
    harvest& operator=(const harvest&) = delete;

    void add(message&& m) {
        try {
            const ref value = received(from_, std::move(m));
            require(PyList_Append(values_.get(), value.get()));
        } catch (const py::python_error&) {
            PyObject* const error = PyErr_GetRaisedException();
            if (first_error_ == nullptr) {
                first_error_ = error;
            } else {
                Py_DECREF(error);
            }
        }
    }
    [[nodiscard]] bool failed() const noexcept { return first_error_ != nullptr; }

    ref finish() {
        if (first_error_ == nullptr) {
            return std::move(values_);
        }
        // Best effort: without memory for the attribute the error itself still arrives.
        if (PyObject_SetAttrString(first_error_, "received", values_.get()) < 0) {
            PyErr_Clear();
        }
        PyErr_SetRaisedException(std::exchange(first_error_, nullptr));
        throw py::python_error{};
    }

  private:
    end_object& from_;
    ref values_;
    PyObject* first_error_ = nullptr;
};

PyObject* recv_recv_many(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [most, timeout] = parse<2>("recv_many", {"max", "timeout"}, 1, args, count, keywords);
        const Py_ssize_t wanted = PyNumber_AsSsize_t(most, nullptr); // a larger one means no limit
        require(wanted == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
        if (wanted < 1) {
            py::fail(PyExc_ValueError, "max must be at least 1, not %zd", wanted);
        }
        end_object& self = end_of(o);
        harvest values(self); // before there is anything that could get lost
        values.add(next_message(self, deadline_of(timeout)));
        auto left = static_cast<std::size_t>(wanted) - 1;
        std::array<message, 64> room;
        while (left > 0 && !values.failed()) {
            std::size_t got = 0;
            const auto batch = std::span(room).first(std::min(left, room.size()));
            if (self.of->try_recv_many(*self.here->side, batch, got) != outcome::ok) {
                break; // nothing more now; why, the next call finds out
            }
            for (message& each : batch.first(got)) {
                values.add(std::move(each));
            }
            left -= got;
        }
        return values.finish().release();
    });
}

} // namespace

PyObject* recv_next(PyObject* o) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = end_of(o);
        message m;
        const outcome how = await_message(self, std::nullopt, m);
        if (how == outcome::closed) {
            return nullptr; // the senders are gone: the iteration is over
        }
        if (how != outcome::ok) {
            raise_outcome(*self.module, how, *self.of);
        }
        return received(self, std::move(m)).release();
    });
}

PyMethodDef* recv_methods() {
    static const PyMethodDef own[] = {
        {"recv", method(recv_recv), METH_FASTCALL | METH_KEYWORDS,
         "recv($self, timeout=None)\n--\n\n"
         "Wait for the next object, at most `timeout` seconds, and return it.\n\n"
         "Raises TimeoutError; EOFError once nothing is left and the senders are gone; ValueError if this "
         "interpreter closed its end;\n"
         "what the channel was poisoned with; InterpreterError if this interpreter is being closed."},
        {"recv_nowait", method(recv_recv_nowait), METH_FASTCALL | METH_KEYWORDS,
         "recv_nowait($self, default=None)\n--\n\nReturn the next object, or `default` if there is none now. "
         "Otherwise as recv()."},
        {"recv_many", method(recv_recv_many), METH_FASTCALL | METH_KEYWORDS,
         "recv_many($self, max, timeout=None)\n--\n\n"
         "Wait for the next object as recv() does; return it and those that are there already, at most "
         "`max`, as "
         "a list.\n\n"
         "If one of them can't be rebuilt here, its error has the others as `received`."},
        {"fileno", end_fileno, METH_NOARGS,
         "fileno($self)\n--\n\n"
         "A descriptor that is readable while recv() would not block, for select, selectors and event "
         "loops.\n\n"
         "At capacity 0: while a sender waits. Never read from it or close it; it is valid while this "
         "interpreter "
         "holds the end.\n"
         "ValueError if this interpreter closed the end; OSError if there are no descriptors left."}};
    static auto table = with_common_methods(own);
    return table.data();
}

} // namespace isthmus::module

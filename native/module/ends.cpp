#include "module/ends.hpp"

#include "module/arguments.hpp"
#include "module/views.hpp"

#include "crossing/crossing.hpp"

#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

namespace isthmus::module {
namespace {

using core::channel;
using core::end;
using core::message;
using core::outcome;
using py::guarded;
using py::ref;

/// One end in one interpreter. The party is the interpreter's, so that a thread state is not needed to know
/// it at dealloc.
struct end_object {
    PyObject_HEAD;
    std::shared_ptr<channel> of;
    core::interpreter_ref here;
    state* module; ///< the type keeps the module alive
};

end_object& self_of(PyObject* o) noexcept {
    return *reinterpret_cast<end_object*>(o);
}

bool is_recv(PyObject* o) noexcept {
    return Py_TYPE(o) == self_of(o).module->recv_type;
}
end which_of(PyObject* o) noexcept {
    return is_recv(o) ? end::recv : end::send;
}

/// An end on its way counts as an open holder, so that the other side does not think everybody is gone.
struct travelling_end final : core::attachment {
    travelling_end(std::shared_ptr<channel> c, end w) : of(std::move(c)), which(w) {
        of->add_in_flight(which);
    }
    ~travelling_end() override { of->drop_in_flight(which); }
    std::shared_ptr<channel> of;
    end which;
};

void end_dealloc(PyObject* o) {
    end_object& self = self_of(o);
    PyTypeObject* const type = Py_TYPE(o);
    if (self.of != nullptr) {
        self.of->drop_holder(which_of(o), *self.here->side);
    }
    std::destroy_at(&self.of);
    std::destroy_at(&self.here);
    type->tp_free(o);
    Py_DECREF(type);
}

PyObject* end_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static const char* names[] = {"id", nullptr};
        PyObject* given = nullptr;
        if (PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char**>(names), &given) == 0) {
            throw py::python_error{};
        }
        state& s = state_of_type(type);
        const ref number = py::require(PyNumber_Index(given));
        int overflow = 0;
        const long long id = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
        std::shared_ptr<channel> of =
            overflow == 0 && id > 0 ? channel::all().find(static_cast<core::channel_id>(id)) : nullptr;
        if (of == nullptr) {
            py::fail(PyExc_ValueError, "there is no channel with id %R", number.get());
        }
        return make_end(s, type == s.recv_type ? end::recv : end::send, std::move(of)).release();
    });
}

// ---- receiving

ref received(end_object& self, message&& m) {
    return crossing::decode(*self.here, std::move(m));
}

ref recv_until(end_object& self, core::futex::deadline until) {
    core::interpreter& here = *self.here;
    py::drain(here);
    message m;
    outcome how = self.of->try_recv(*here.side, m);
    if (how == outcome::would_block) {
        how = py::wait_for(here,
                           [&](core::wait_site& site) { return self.of->recv(*here.side, m, until, site); });
    }
    if (how != outcome::ok) {
        raise_outcome(*self.module, how, self.of->id());
    }
    return received(self, std::move(m));
}

PyObject* recv_recv(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [timeout] = parse<1>("recv", {"timeout"}, 0, args, count, keywords);
        return recv_until(self_of(o), deadline_of(timeout)).release();
    });
}

PyObject* recv_recv_nowait(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [fallback] = parse<1>("recv_nowait", {"default"}, 0, args, count, keywords);
        end_object& self = self_of(o);
        py::drain(*self.here);
        message m;
        const outcome how = self.of->try_recv(*self.here->side, m);
        if (how == outcome::would_block) {
            return Py_NewRef(fallback != nullptr ? fallback : Py_None);
        }
        if (how != outcome::ok) {
            raise_outcome(*self.module, how, self.of->id());
        }
        return received(self, std::move(m)).release();
    });
}

PyObject* recv_next(PyObject* o) {
    PyObject* const item = guarded<PyObject*>(
        nullptr, [&]() -> PyObject* { return recv_until(self_of(o), std::nullopt).release(); });
    if (item == nullptr && PyErr_ExceptionMatches(PyExc_EOFError)) {
        PyErr_Clear(); // the senders are gone: the iteration is over
    }
    return item;
}

// ---- sending

PyObject* send_send(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [obj, timeout] = parse<2>("send", {"obj", "timeout"}, 1, args, count, keywords);
        const core::futex::deadline until = deadline_of(timeout);
        core::interpreter& here = *self_of(o).here;
        py::drain(here);
        send_message(o, crossing::encode(here, obj), until);
        Py_RETURN_NONE;
    });
}

PyObject* send_send_nowait(PyObject* o, PyObject* obj) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = self_of(o);
        py::drain(*self.here);
        message m = crossing::encode(*self.here, obj);
        const outcome how = self.of->try_send(*self.here->side, m);
        if (how != outcome::ok && how != outcome::would_block) {
            raise_outcome(*self.module, how, self.of->id());
        }
        return PyBool_FromLong(how == outcome::ok ? 1 : 0);
    });
}

// ---- both

PyObject* end_close(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = self_of(o);
        return PyBool_FromLong(self.of->close(which_of(o), *self.here->side) ? 1 : 0);
    });
}

PyObject* end_enter(PyObject* o, PyObject*) {
    return Py_NewRef(o);
}

PyObject* end_exit(PyObject* o, PyObject*) {
    ref closed = ref::steal(end_close(o, nullptr));
    return closed ? Py_NewRef(Py_None) : nullptr;
}

PyObject* end_id(PyObject* o, void*) {
    return PyLong_FromUnsignedLongLong(self_of(o).of->id());
}

PyObject* end_is_closed(PyObject* o, void*) {
    end_object& self = self_of(o);
    return PyBool_FromLong(self.of->is_closed(which_of(o), *self.here->side) || self.of->is_closed() ? 1 : 0);
}

PyObject* end_repr(PyObject* o) {
    return PyUnicode_FromFormat("<%s id=%llu>", is_recv(o) ? "RecvChannel" : "SendChannel",
                                static_cast<unsigned long long>(self_of(o).of->id()));
}

Py_hash_t end_hash(PyObject* o) {
    return static_cast<Py_hash_t>(self_of(o).of->id() * 2 + (is_recv(o) ? 0 : 1));
}

PyObject* end_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const bool equal = self_of(a).of == self_of(b).of;
    return PyBool_FromLong(equal == (operation == Py_EQ) ? 1 : 0);
}

PyObject* end_reduce(PyObject* o, PyObject*) {
    return Py_BuildValue("O(K)", Py_TYPE(o), static_cast<unsigned long long>(self_of(o).of->id()));
}

template <typename Function> PyCFunction method(Function* f) noexcept {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

constexpr int fast = METH_FASTCALL | METH_KEYWORDS;

#define ISTHMUS_END_METHODS                                                                                  \
    {"close", end_close, METH_NOARGS,                                                                        \
     "close()\n--\n\nDrop this interpreter's association with the end and forbid a new one. True the first " \
     "time."},                                                                                               \
        {"__enter__", end_enter, METH_NOARGS, nullptr}, {"__exit__", end_exit, METH_VARARGS, nullptr}, {     \
        "__reduce__", end_reduce, METH_NOARGS, nullptr                                                       \
    }

PyMethodDef recv_methods[] = {
    {"recv", method(recv_recv), fast,
     "recv($self, timeout=None)\n--\n\n"
     "Wait for the next object, at most `timeout` seconds, and return it.\n\n"
     "Raises TimeoutError; EOFError once nothing is left and the senders are gone; ValueError if this "
     "interpreter closed its end;\n"
     "InterpreterError if it is being closed."},
    {"recv_nowait", method(recv_recv_nowait), fast,
     "recv_nowait($self, default=None)\n--\n\nReturn the next object, or `default` if there is none now."},
    ISTHMUS_END_METHODS,
    {nullptr, nullptr, 0, nullptr}};

PyMethodDef send_methods[] = {
    {"send", method(send_send), fast,
     "send($self, obj, timeout=None)\n--\n\n"
     "Send `obj`; wait until it was received (rendezvous) or there is room, at most `timeout` seconds.\n\n"
     "Raises TimeoutError (it was not received); EOFError once the receivers are gone; ValueError if this "
     "interpreter closed its\n"
     "end; NotShareableError naming the part that can't cross; InterpreterError if this interpreter is being "
     "closed."},
    {"send_nowait", send_send_nowait, METH_O,
     "send_nowait($self, obj, /)\n--\n\nSend `obj` if that needs no waiting; return whether it was sent."},
    {"send_buffer", method(send_buffer), fast, send_buffer_doc},
    ISTHMUS_END_METHODS,
    {nullptr, nullptr, 0, nullptr}};

#undef ISTHMUS_END_METHODS

PyGetSetDef end_properties[] = {{"id", end_id, nullptr, "The channel's id, unique in the process.", nullptr},
                                {"is_closed", end_is_closed, nullptr,
                                 "Whether this interpreter closed the end, or the channel is closed.",
                                 nullptr},
                                {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <typename Function> void* slot(Function* f) noexcept {
    return reinterpret_cast<void*>(f);
}

PyType_Slot recv_slots[] = {{Py_tp_new, slot(end_new)},
                            {Py_tp_dealloc, slot(end_dealloc)},
                            {Py_tp_methods, recv_methods},
                            {Py_tp_getset, end_properties},
                            {Py_tp_repr, slot(end_repr)},
                            {Py_tp_hash, slot(end_hash)},
                            {Py_tp_richcompare, slot(end_compare)},
                            {Py_tp_iter, slot(PyObject_SelfIter)},
                            {Py_tp_iternext, slot(recv_next)},
                            {Py_tp_doc, const_cast<char*>("The receiving end of a channel (PEP 554).")},
                            {0, nullptr}};

PyType_Slot send_slots[] = {{Py_tp_new, slot(end_new)},
                            {Py_tp_dealloc, slot(end_dealloc)},
                            {Py_tp_methods, send_methods},
                            {Py_tp_getset, end_properties},
                            {Py_tp_repr, slot(end_repr)},
                            {Py_tp_hash, slot(end_hash)},
                            {Py_tp_richcompare, slot(end_compare)},
                            {Py_tp_doc, const_cast<char*>("The sending end of a channel (PEP 554).")},
                            {0, nullptr}};

constexpr unsigned flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE;
PyType_Spec recv_spec = {"isthmus.RecvChannel", sizeof(end_object), 0, flags, recv_slots};
PyType_Spec send_spec = {"isthmus.SendChannel", sizeof(end_object), 0, flags, send_slots};

} // namespace

void add_end_types(PyObject* module) {
    state& s = state_of(module);
    for (auto [spec, place] : {std::pair{&recv_spec, &s.recv_type}, std::pair{&send_spec, &s.send_type}}) {
        *place = reinterpret_cast<PyTypeObject*>(
            py::require(PyType_FromModuleAndSpec(module, spec, nullptr)).release());
        py::require(PyModule_AddType(module, *place));
    }
}

ref make_end(state& s, end which, std::shared_ptr<channel> of) {
    PyTypeObject* const type = which == end::recv ? s.recv_type : s.send_type;
    ref made = py::require(type->tp_alloc(type, 0));
    end_object& self = self_of(made.get());
    std::construct_at(&self.of);
    std::construct_at(&self.here, s.here);
    self.module = &s;
    of->add_holder(which, *s.here->side);
    self.of = std::move(of);
    return made;
}

void send_message(PyObject* send_end, message m, core::futex::deadline until) {
    end_object& self = self_of(send_end);
    core::interpreter& here = *self.here;
    outcome how = self.of->try_send(*here.side, m);
    if (how == outcome::would_block) {
        how = py::wait_for(here,
                           [&](core::wait_site& site) { return self.of->send(*here.side, m, until, site); });
    }
    if (how != outcome::ok) {
        raise_outcome(*self.module, how, self.of->id());
    }
}

std::unique_ptr<core::attachment> pack_end(state& s, PyObject* o) {
    if (Py_TYPE(o) != s.recv_type && Py_TYPE(o) != s.send_type) {
        return nullptr;
    }
    return std::make_unique<travelling_end>(self_of(o).of, which_of(o));
}

ref unpack_end(state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<travelling_end*>(&travelling);
    return found != nullptr ? make_end(s, found->which, found->of) : ref{};
}

} // namespace isthmus::module

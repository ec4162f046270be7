#include "module/queues.hpp"

#include "module/arguments.hpp"

#include "crossing/crossing.hpp"

#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include <cstddef>

namespace isthmus::module {
namespace {

using core::end;
using core::message;
using core::outcome;
using core::queue;
using core::unbound;
using py::guarded;
using py::method;
using py::ref;
using py::require;
using py::slot;

/// The Python half, with exceptions and markers; imported when first needed, since it takes `queue` along.
ref python_half(const char* name) {
    const ref module = require(PyImport_ImportModule("isthmus._queues"));
    return require(PyObject_GetAttrString(module.get(), name));
}

constexpr const char* marker_names[] = {"UNBOUND", "UNBOUND_ERROR", "UNBOUND_REMOVE"};

/// The option for a marker object; None and null: `fallback`. Throws python_error.
unbound option_of(PyObject* given, unbound fallback) {
    if (given == nullptr || given == Py_None) {
        return fallback;
    }
    for (const unbound each : {unbound::replace, unbound::error, unbound::remove}) {
        if (python_half(marker_names[static_cast<std::size_t>(each)]).get() == given) {
            return each;
        }
    }
    py::fail(python_half("UnboundOptionError").get(),
             "unbounditems must be UNBOUND, UNBOUND_ERROR or UNBOUND_REMOVE, not %R", given);
}

void queue_dealloc(PyObject* o) {
    queue_object& self = queue_of(o);
    PyTypeObject* const type = Py_TYPE(o);
    if (self.weak_references != nullptr) {
        PyObject_ClearWeakRefs(o);
    }
    if (self.of != nullptr) {
        self.of->drop_holder(end::recv, *self.here->side);
    }
    std::destroy_at(&self.of);
    std::destroy_at(&self.here);
    type->tp_free(o);
    Py_DECREF(type);
}

PyObject* queue_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static const char* names[] = {"id", nullptr};
        PyObject* id = nullptr;
        if (PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char**>(names), &id) == 0) {
            throw py::python_error{};
        }
        if (!PyLong_Check(id)) {
            py::fail(PyExc_TypeError, "id must be an int, got %R", id);
        }
        return queue_with_id(state_of_type(type), id).release();
    });
}

/// `block` and `timeout` as in queue.Queue; already passed for a call that must not wait.
struct patience {
    bool waits = true;
    core::futex::deadline until;
};
patience patience_of(PyObject* block, PyObject* timeout) {
    const int waits = block == nullptr ? 1 : PyObject_IsTrue(block);
    require(waits);
    return waits != 0 ? patience{true, deadline_of(timeout)} : patience{false, std::nullopt};
}

void put(PyObject* o, PyObject* obj, PyObject* unbounditems, const patience& how_long) {
    queue_object& self = queue_of(o);
    core::interpreter& here = *self.here;
    const unbound option = option_of(unbounditems, self.of->fallback());
    py::drain(here);
    message m = crossing::encode(here, obj);
    m.set_if_unbound(option);
    outcome how = self.of->attempt(end::send, *here.side, m);
    if (how == outcome::would_block && how_long.waits) {
        how = py::wait_for(
            here, [&](core::wait_site& site) { return self.of->put(*here.side, m, how_long.until, site); });
    }
    if (how != outcome::ok) {
        raise_queue_outcome(*self.module, how, end::send, *self.of);
    }
}

ref get(PyObject* o, const patience& how_long) {
    queue_object& self = queue_of(o);
    core::interpreter& here = *self.here;
    py::drain(here);
    message m;
    outcome how = self.of->attempt(end::recv, *here.side, m);
    if (how == outcome::would_block && how_long.waits) {
        how = py::wait_for(
            here, [&](core::wait_site& site) { return self.of->get(*here.side, m, how_long.until, site); });
    }
    if (how != outcome::ok) {
        raise_queue_outcome(*self.module, how, end::recv, *self.of);
    }
    return taken_out(here, *self.of, std::move(m));
}

PyObject* queue_put(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [obj, block, timeout, unbounditems] =
            parse<4>("put", {"obj", "block", "timeout", "unbounditems"}, 1, args, count, keywords, 3);
        put(o, obj, unbounditems, patience_of(block, timeout));
        Py_RETURN_NONE;
    });
}

PyObject* queue_put_nowait(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [obj, unbounditems] =
            parse<2>("put_nowait", {"obj", "unbounditems"}, 1, args, count, keywords, 1);
        put(o, obj, unbounditems, {false, std::nullopt});
        Py_RETURN_NONE;
    });
}

PyObject* queue_get(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [block, timeout] = parse<2>("get", {"block", "timeout"}, 0, args, count, keywords);
        return get(o, patience_of(block, timeout)).release();
    });
}

PyObject* queue_get_nowait(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        return get(o, {false, std::nullopt}).release();
    });
}

PyObject* queue_shutdown(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [immediate] = parse<1>("shutdown", {"immediate"}, 0, args, count, keywords);
        const int at_once = immediate == nullptr ? 0 : PyObject_IsTrue(immediate);
        require(at_once);
        queue_of(o).of->shut_down(at_once != 0);
        Py_RETURN_NONE;
    });
}

PyObject* queue_qsize(PyObject* o, PyObject*) {
    return PyLong_FromSize_t(queue_of(o).of->size());
}
PyObject* queue_empty(PyObject* o, PyObject*) {
    return PyBool_FromLong(queue_of(o).of->size() == 0 ? 1 : 0);
}
PyObject* queue_full(PyObject* o, PyObject*) {
    return PyBool_FromLong(queue_of(o).of->full() ? 1 : 0);
}

PyObject* queue_fileno(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        return descriptor_of(*queue_of(o).of, end::recv, *queue_of(o).here->side);
    });
}

PyObject* queue_reduce(PyObject* o, PyObject*) {
    return Py_BuildValue("O(K)", Py_TYPE(o), static_cast<unsigned long long>(queue_of(o).of->id()));
}

PyObject* queue_id_get(PyObject* o, void*) {
    return PyLong_FromUnsignedLongLong(queue_of(o).of->id());
}
PyObject* queue_maxsize(PyObject* o, void*) {
    return PyLong_FromLongLong(queue_of(o).of->maxsize());
}
PyObject* queue_unbounditems(PyObject* o, void*) {
    return guarded<PyObject*>(nullptr, [&] {
        return python_half(marker_names[static_cast<std::size_t>(queue_of(o).of->fallback())]).release();
    });
}
PyObject* queue_is_shutdown(PyObject* o, void*) {
    return PyBool_FromLong(queue_of(o).of->is_shut_down() ? 1 : 0);
}

PyObject* queue_repr(PyObject* o) {
    return PyUnicode_FromFormat("Queue(%llu)", static_cast<unsigned long long>(queue_of(o).of->id()));
}
Py_hash_t queue_hash(PyObject* o) {
    return static_cast<Py_hash_t>(queue_of(o).of->id());
}
PyObject* queue_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyBool_FromLong((queue_of(a).of == queue_of(b).of) == (operation == Py_EQ) ? 1 : 0);
}

PyMethodDef queue_methods[] = {
    {"put", method(queue_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, obj, block=True, timeout=None, *, unbounditems=None)\n--\n\n"
     "Put `obj`; while the queue is full, wait at most `timeout` seconds, or not at all unless `block`.\n\n"
     "`unbounditems`: for this item, as in create_queue(); None: the queue's. Raises QueueFull; "
     "QueueShutDown; "
     "NotShareableError;\nInterpreterError if this interpreter is being closed."},
    {"put_nowait", method(queue_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     "put_nowait($self, obj, *, unbounditems=None)\n--\n\nThe same as put(obj, block=False)."},
    {"get", method(queue_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, block=True, timeout=None)\n--\n\n"
     "Take the next object out; while there is none, wait at most `timeout` seconds, or not at all unless "
     "`block`.\n\n"
     "Raises QueueEmpty; QueueShutDown once it is shut down and empty; ItemInterpreterDestroyed for an item "
     "put with UNBOUND_ERROR\n"
     "whose interpreter is gone; InterpreterError if this interpreter is being closed."},
    {"get_nowait", queue_get_nowait, METH_NOARGS, "get_nowait($self)\n--\n\nThe same as get(block=False)."},
    {"shutdown", method(queue_shutdown), METH_FASTCALL | METH_KEYWORDS,
     "shutdown($self, immediate=False)\n--\n\n"
     "Let every later put, and get once the queue is empty, raise QueueShutDown; who waits is woken. "
     "`immediate`: what is left is\ndropped. As queue.Queue.shutdown()."},
    {"qsize", queue_qsize, METH_NOARGS, "qsize($self)\n--\n\nHow many objects lie here now."},
    {"empty", queue_empty, METH_NOARGS, "empty($self)\n--\n\nWhether none does."},
    {"full", queue_full, METH_NOARGS, "full($self)\n--\n\nWhether put() would have to wait."},
    {"fileno", queue_fileno, METH_NOARGS,
     "fileno($self)\n--\n\n"
     "A descriptor that is readable while get() would not block, for select, selectors and event loops.\n\n"
     "Never read from it or close it; it is valid while this interpreter holds the queue. OSError if there "
     "are none left."},
    {"__reduce__", queue_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef queue_properties[] = {
    {"id", queue_id_get, nullptr, "The queue's id, unique in the process.", nullptr},
    {"maxsize", queue_maxsize, nullptr, "The most objects it holds; 0 or less: without limit.", nullptr},
    {"unbounditems", queue_unbounditems, nullptr, "What put() uses unless it is told otherwise.", nullptr},
    {"is_shutdown", queue_is_shutdown, nullptr, "Whether shutdown() was called.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef queue_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(queue_object, weak_references), Py_READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyType_Slot queue_slots[] = {
    {Py_tp_new, slot(queue_new)},
    {Py_tp_dealloc, slot(queue_dealloc)},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_properties},
    {Py_tp_members, queue_members},
    {Py_tp_repr, slot(queue_repr)},
    {Py_tp_hash, slot(queue_hash)},
    {Py_tp_richcompare, slot(queue_compare)},
    {Py_tp_doc, const_cast<char*>("Queue(id)\n--\n\nA queue that interpreters share (PEP 734). "
                                  "QueueNotFoundError: no such queue.")},
    {0, nullptr}};

PyType_Spec queue_spec = {"isthmus.Queue", sizeof(queue_object), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, queue_slots};

} // namespace

void add_queue_type(PyObject* module) {
    add_type(module, queue_spec, state_of(module).queue_type);
}

ref make_queue(state& s, std::shared_ptr<queue> of) {
    const ref key = require(PyLong_FromUnsignedLongLong(of->id()));
    ref known = require(PyObject_CallMethod(s.queues_by_id, "get", "O", key.get()));
    if (known.get() != Py_None) {
        return known;
    }
    ref made = require(s.queue_type->tp_alloc(s.queue_type, 0));
    queue_object& self = queue_of(made.get());
    std::construct_at(&self.of);
    std::construct_at(&self.here, s.here);
    self.module = &s;
    of->add_holder(end::recv, *s.here->side);
    self.of = std::move(of);
    require(PyObject_SetItem(s.queues_by_id, key.get(), made.get()));
    return made;
}

ref queue_with_id(state& s, PyObject* id) {
    std::shared_ptr<queue> of = queue::all().find(id_of(id));
    if (of == nullptr) {
        py::fail(python_half("QueueNotFoundError").get(), "there is no queue with id %R", id);
    }
    return make_queue(s, std::move(of));
}

std::unique_ptr<core::attachment> pack_queue(state& s, PyObject* o) {
    return Py_TYPE(o) == s.queue_type ? std::make_unique<core::travelling_end>(queue_of(o).of, end::recv)
                                      : nullptr;
}

ref unpack_queue(state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<core::travelling_end*>(&travelling);
    auto of = found != nullptr ? std::dynamic_pointer_cast<queue>(found->of) : nullptr;
    return of != nullptr ? make_queue(s, std::move(of)) : ref{};
}

ref taken_out(core::interpreter& here, queue& of, message m) {
    if (!m.is_marker()) {
        return crossing::decode(here, std::move(m));
    }
    if (m.if_unbound() == unbound::error) {
        py::fail(python_half("ItemInterpreterDestroyed").get(),
                 "queue %llu: the interpreter that put this item is gone",
                 static_cast<unsigned long long>(of.id()));
    }
    return python_half("UNBOUND");
}

void raise_queue_outcome(const state& s, outcome how, end which, queue& of) {
    const auto number = static_cast<unsigned long long>(of.id());
    switch (how) {
    case outcome::would_block:
    case outcome::timed_out:
        if (which == end::recv) {
            py::fail(python_half("QueueEmpty").get(), "queue %llu is empty", number);
        }
        py::fail(python_half("QueueFull").get(), "queue %llu is full", number);
    case outcome::closed:
        py::fail(python_half("QueueShutDown").get(), "queue %llu is shut down", number);
    case outcome::party_closing:
        py::fail(s.interpreter_error, "queue %llu: this interpreter is being closed", number);
    default:
        py::fail(PyExc_SystemError, "queue %llu: unexpected outcome", number);
    }
}

PyObject* create_queue(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [maxsize, unbounditems] =
            parse<2>("create_queue", {"maxsize", "unbounditems"}, 0, args, count, keywords, 1);
        Py_ssize_t room = 0;
        if (maxsize != nullptr) {
            if (!PyLong_Check(maxsize)) {
                py::fail(PyExc_TypeError, "maxsize must be an int, not %.200s", Py_TYPE(maxsize)->tp_name);
            }
            room = PyNumber_AsSsize_t(maxsize, PyExc_OverflowError);
            require(room == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
        }
        const unbound fallback = option_of(unbounditems, unbound::replace);
        return make_queue(state_of(module), queue::create(room, fallback)).release();
    });
}

} // namespace isthmus::module

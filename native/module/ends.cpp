#include "module/ends.hpp"

#include "module/arguments.hpp"
#include "module/end_object.hpp"
#include "module/interpreters.hpp"

#include "cpython/methods.hpp"

#include "core/cycles.hpp"

#include <array>
#include <string>

namespace isthmus::module {
namespace {

using core::channel;
using core::end;
using core::outcome;
using py::guarded;
using py::ref;
using py::require;
using py::slot;

end which_of(PyObject* o) noexcept {
    return Py_TYPE(o) == end_of(o).module->recv_type ? end::recv : end::send;
}

/// A used end that nobody closed keeps the other side waiting until it is collected: as with files, worth a
/// warning.
void end_finalize(PyObject* o) {
    const end_object& self = end_of(o);
    if (self.of == nullptr || !self.of->is_last_use(which_of(o), *self.here->side)) {
        return;
    }
    PyObject* const saved = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(o, 1, "unclosed %R", o) < 0) {
        if (PyErr_ExceptionMatches(PyExc_Warning)) {
            PyErr_WriteUnraisable(o);
        }
        PyErr_Clear(); // else what the warning needed is gone already: CPython finalises
    }
    PyErr_SetRaisedException(saved);
}

void end_dealloc(PyObject* o) {
    if (PyObject_CallFinalizerFromDealloc(o) < 0) {
        return;
    }
    end_object& self = end_of(o);
    PyTypeObject* const type = Py_TYPE(o);
    if (self.weak_references != nullptr) {
        PyObject_ClearWeakRefs(o);
    }
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
        const ref number = require(PyNumber_Index(given));
        return end_with_id(s, type == s.recv_type ? end::recv : end::send, number.get()).release();
    });
}

PyObject* end_id(PyObject* o, void*) {
    return PyLong_FromUnsignedLongLong(end_of(o).of->id());
}

PyObject* end_is_closed(PyObject* o, void*) {
    end_object& self = end_of(o);
    return PyBool_FromLong(self.of->is_closed(which_of(o), *self.here->side) || self.of->is_closed() ? 1 : 0);
}

PyObject* end_interpreters(PyObject* o, void*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = end_of(o);
        const ref found = require(PyList_New(0));
        for (const core::party_id each : self.of->interpreters(which_of(o))) {
            if (const core::interpreter_ref record = core::interpreters().find_party(each)) {
                const ref one = make_interpreter(*self.module, record->number);
                require(PyList_Append(found.get(), one.get()));
            }
        }
        return Py_NewRef(found.get());
    });
}

PyObject* end_repr(PyObject* o) {
    return PyUnicode_FromFormat("<%s id=%llu>", which_of(o) == end::recv ? "RecvChannel" : "SendChannel",
                                static_cast<unsigned long long>(end_of(o).of->id()));
}

Py_hash_t end_hash(PyObject* o) {
    return static_cast<Py_hash_t>(end_of(o).of->id() * 2 + (which_of(o) == end::recv ? 0 : 1));
}

PyObject* end_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const bool equal = end_of(a).of == end_of(b).of;
    return PyBool_FromLong(equal == (operation == Py_EQ) ? 1 : 0);
}

PyGetSetDef end_properties[] = {
    {"id", end_id, nullptr, "The channel's id, unique in the process.", nullptr},
    {"is_closed", end_is_closed, nullptr,
     "Whether this interpreter closed the end, or the channel is closed or poisoned.", nullptr},
    {"interpreters", end_interpreters, nullptr,
     "The interpreters associated with this end: they used it and have not closed it.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyStructSequence_Field statistics_fields[] = {
    {"capacity", "0: rendezvous; None: unbounded"},
    {"sent", "objects sent, by whomever"},
    {"received", "of these, received"},
    {"dropped", "of these, dropped because nobody could receive them any more"},
    {"buffered", "of these, still in the buffer"},
    {"waiting_receivers", "waits in recv, recv_many and select"},
    {"waiting_senders", "waits in send, send_many and select"},
    {nullptr, nullptr}};
PyStructSequence_Desc statistics_description = {
    "isthmus.ChannelStatistics", "A look at a channel: exact while nobody else uses it.", statistics_fields,
    static_cast<int>(std::size(statistics_fields)) - 1};

PyMemberDef end_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(end_object, weak_references), Py_READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyType_Slot recv_slots[] = {{Py_tp_new, slot(end_new)},
                            {Py_tp_dealloc, slot(end_dealloc)},
                            {Py_tp_finalize, slot(end_finalize)},
                            {Py_tp_methods, recv_methods()},
                            {Py_tp_getset, end_properties},
                            {Py_tp_members, end_members},
                            {Py_tp_repr, slot(end_repr)},
                            {Py_tp_hash, slot(end_hash)},
                            {Py_tp_richcompare, slot(end_compare)},
                            {Py_tp_iter, slot(PyObject_SelfIter)},
                            {Py_tp_iternext, slot(recv_next)},
                            {Py_tp_doc, const_cast<char*>("RecvChannel(id)\n--\n\nThe receiving end of a "
                                                          "channel (PEP 554). ValueError: no such channel.")},
                            {0, nullptr}};

PyType_Slot send_slots[] = {{Py_tp_new, slot(end_new)},
                            {Py_tp_dealloc, slot(end_dealloc)},
                            {Py_tp_finalize, slot(end_finalize)},
                            {Py_tp_methods, send_methods()},
                            {Py_tp_getset, end_properties},
                            {Py_tp_members, end_members},
                            {Py_tp_repr, slot(end_repr)},
                            {Py_tp_hash, slot(end_hash)},
                            {Py_tp_richcompare, slot(end_compare)},
                            {Py_tp_doc, const_cast<char*>("SendChannel(id)\n--\n\nThe sending end of a "
                                                          "channel (PEP 554). ValueError: no such channel.")},
                            {0, nullptr}};

constexpr unsigned flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE;
PyType_Spec recv_spec = {"isthmus.RecvChannel", sizeof(end_object), 0, flags, recv_slots};
PyType_Spec send_spec = {"isthmus.SendChannel", sizeof(end_object), 0, flags, send_slots};

/// The exception that the channel was poisoned with, made anew.
[[noreturn]] void raise_poison(channel& of) {
    const std::shared_ptr<const std::string> reason = of.poison();
    const ref module = require(PyImport_ImportModule("isthmus._poison"));
    const ref exception =
        require(PyObject_CallMethod(module.get(), "unpack", "y#", reason->data(), reason->size()));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
    throw py::python_error{};
}

} // namespace

// ---- methods of both

PyObject* end_close(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = end_of(o);
        return PyBool_FromLong(self.of->close(which_of(o), *self.here->side) ? 1 : 0);
    });
}

PyObject* end_poison(PyObject* o, PyObject* exception) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = end_of(o);
        const ref module = require(PyImport_ImportModule("isthmus._poison"));
        const ref packed = require(PyObject_CallMethod(module.get(), "pack", "O", exception));
        char* data = nullptr;
        Py_ssize_t size = 0;
        require(PyBytes_AsStringAndSize(packed.get(), &data, &size));
        const outcome how =
            self.of->poison(which_of(o), *self.here->side, std::string(data, static_cast<std::size_t>(size)));
        if (how != outcome::ok) {
            raise_outcome(*self.module, how, *self.of);
        }
        Py_RETURN_NONE;
    });
}

PyObject* end_statistics(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        channel& of = *end_of(o).of;
        const channel::statistics now = of.look();
        ref made = require(PyStructSequence_New(end_of(o).module->channel_statistics_type));
        PyObject* const capacity = of.capacity() ? PyLong_FromSize_t(*of.capacity()) : Py_NewRef(Py_None);
        PyStructSequence_SetItem(made.get(), 0, require(capacity).release());
        Py_ssize_t at = 1;
        for (const std::uint64_t each :
             {now.sent, now.received, now.dropped, static_cast<std::uint64_t>(now.buffered),
              static_cast<std::uint64_t>(now.waiting_receivers),
              static_cast<std::uint64_t>(now.waiting_senders)}) {
            PyStructSequence_SetItem(made.get(), at++, require(PyLong_FromUnsignedLongLong(each)).release());
        }
        return made.release();
    });
}

PyObject* end_fileno(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        end_object& self = end_of(o);
        if (self.of->is_closed(which_of(o), *self.here->side)) {
            raise_outcome(*self.module, outcome::released, *self.of);
        }
        return descriptor_of(*self.of, which_of(o), *self.here->side);
    });
}

PyObject* end_enter(PyObject* o, PyObject*) {
    return Py_NewRef(o);
}

PyObject* end_exit(PyObject* o, PyObject*) {
    ref closed = ref::steal(end_close(o, nullptr));
    return closed ? Py_NewRef(Py_None) : nullptr;
}

PyObject* end_reduce(PyObject* o, PyObject*) {
    return Py_BuildValue("O(K)", Py_TYPE(o), static_cast<unsigned long long>(end_of(o).of->id()));
}

// ---- for others

void add_end_types(PyObject* module) {
    state& s = state_of(module);
    add_type(module, recv_spec, s.recv_type);
    add_type(module, send_spec, s.send_type);
    s.channel_statistics_type = PyStructSequence_NewType(&statistics_description);
    require(s.channel_statistics_type != nullptr
                ? PyModule_AddObjectRef(module, "ChannelStatistics",
                                        reinterpret_cast<PyObject*>(s.channel_statistics_type))
                : -1);
}

ref make_end(state& s, end which, std::shared_ptr<channel> of) {
    PyTypeObject* const type = which == end::recv ? s.recv_type : s.send_type;
    ref made = require(type->tp_alloc(type, 0));
    end_object& self = end_of(made.get());
    std::construct_at(&self.of);
    std::construct_at(&self.here, s.here);
    self.module = &s;
    of->add_holder(which, *s.here->side);
    self.of = std::move(of);
    return made;
}

ref end_with_id(state& s, end which, PyObject* id) {
    std::shared_ptr<channel> of = channel::all().find(id_of(id));
    if (of == nullptr) {
        py::fail(PyExc_ValueError, "there is no channel with id %R", id);
    }
    return make_end(s, which, std::move(of));
}

std::unique_ptr<core::attachment> pack_end(state& s, PyObject* o) {
    if (Py_TYPE(o) != s.recv_type && Py_TYPE(o) != s.send_type) {
        return nullptr;
    }
    return std::make_unique<core::travelling_end>(end_of(o).of, which_of(o));
}

ref unpack_end(state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<core::travelling_end*>(&travelling);
    auto of = found != nullptr ? std::dynamic_pointer_cast<channel>(found->of) : nullptr;
    return of != nullptr ? make_end(s, found->which, std::move(of)) : ref{};
}

void raise_outcome(const state& s, outcome how, channel& of) {
    const auto number = static_cast<unsigned long long>(of.id());
    switch (how) {
    case outcome::timed_out:
        py::fail(PyExc_TimeoutError, "channel %llu: timed out", number);
    case outcome::closed:
        py::fail(PyExc_EOFError, "channel %llu is closed", number);
    case outcome::released:
        py::fail(PyExc_ValueError, "channel %llu: this interpreter has closed its end", number);
    case outcome::poisoned:
        raise_poison(of);
    case outcome::party_closing:
        py::fail(s.interpreter_error, "channel %llu: this interpreter is being closed", number);
    default:
        py::fail(PyExc_SystemError, "channel %llu: unexpected outcome", number);
    }
}

PyObject* create_channel(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [capacity] = parse<1>("create_channel", {"capacity"}, 0, args, count, keywords);
        std::optional<std::size_t> room = 0;
        if (capacity == Py_None) {
            room = std::nullopt;
        } else if (capacity != nullptr) {
            const Py_ssize_t wanted = PyNumber_AsSsize_t(capacity, PyExc_OverflowError);
            require(wanted == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
            if (wanted < 0) {
                py::fail(PyExc_ValueError, "capacity must be None or at least 0, not %zd", wanted);
            }
            room = static_cast<std::size_t>(wanted);
        }
        state& s = state_of(module);
        const std::shared_ptr<channel> made = channel::create(room);
        const ref recv = make_end(s, end::recv, made);
        const ref send = make_end(s, end::send, made);
        return PyTuple_Pack(2, recv.get(), send.get());
    });
}

PyObject* list_all_channels(PyObject* module, PyObject*) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        state& s = state_of(module);
        core::collect_cycles();
        const ref found = require(PyList_New(0));
        for (const std::shared_ptr<channel>& each : channel::all().live()) {
            if (each->is_closed()) {
                continue;
            }
            const ref recv = make_end(s, end::recv, each);
            const ref send = make_end(s, end::send, each);
            const ref pair = require(PyTuple_Pack(2, recv.get(), send.get()));
            require(PyList_Append(found.get(), pair.get()));
        }
        return Py_NewRef(found.get());
    });
}

} // namespace isthmus::module

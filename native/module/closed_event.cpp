#include "module/closed_event.hpp"

#include "module/arguments.hpp"

#include "cpython/lifecycle.hpp"
#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include <functional>

namespace isthmus::module {
namespace {

using core::outcome;
using py::guarded;
using py::method;
using py::ref;
using py::require;
using py::slot;

void closed_event_dealloc(PyObject* o) {
    closed_event_object& self = closed_event_of(o);
    PyTypeObject* const type = Py_TYPE(o);
    if (self.of != nullptr) {
        self.of->drop_holder(core::end::recv, *self.here->side);
    }
    std::destroy_at(&self.of);
    std::destroy_at(&self.here);
    type->tp_free(o);
    Py_DECREF(type);
}

/// Looks once more if need be: an interpreter that somebody else ended may be gone unnoticed.
bool is_given(const closed_event_object& self) {
    if (!self.of->given()) {
        py::reap();
    }
    return self.of->given();
}

PyObject* closed_event_is_set(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&] { return PyBool_FromLong(is_given(closed_event_of(o)) ? 1 : 0); });
}

PyObject* closed_event_wait(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [timeout] = parse<1>("wait", {"timeout"}, 0, args, count, keywords);
        const core::futex::deadline until = deadline_of(timeout);
        const closed_event_object& self = closed_event_of(o);
        const core::interpreter& here = *self.here;
        py::drain(*self.here);
        outcome how = outcome::ok;
        if (!is_given(self)) {
            how = py::wait_for(here,
                               [&](core::wait_site& site) { return self.of->wait(*here.side, until, site); });
        }
        if (how == outcome::party_closing) {
            py::fail(self.module->interpreter_error, "this interpreter is being closed");
        }
        return PyBool_FromLong(how == outcome::ok ? 1 : 0);
    });
}

PyObject* closed_event_fileno(PyObject* o, PyObject*) {
    return guarded<PyObject*>(nullptr, [&] {
        const closed_event_object& self = closed_event_of(o);
        return descriptor_of(*self.of, core::end::recv, *self.here->side);
    });
}

PyObject* closed_event_repr(PyObject* o) {
    return PyUnicode_FromFormat("<isthmus.ClosedEvent %s>",
                                closed_event_of(o).of->given() ? "set" : "not set");
}

Py_hash_t closed_event_hash(PyObject* o) {
    return static_cast<Py_hash_t>(std::hash<void*>{}(closed_event_of(o).of.get()) >> 4U);
}

PyObject* closed_event_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const bool same = closed_event_of(a).of == closed_event_of(b).of;
    return PyBool_FromLong(same == (operation == Py_EQ) ? 1 : 0);
}

PyMethodDef closed_event_methods[] = {
    {"is_set", closed_event_is_set, METH_NOARGS, "is_set($self)\n--\n\nWhether the interpreter is gone."},
    {"wait", method(closed_event_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"
     "Wait until the interpreter is gone; return False if `timeout` seconds passed first. InterpreterError "
     "if the interpreter that\n"
     "waits is closed."},
    {"fileno", closed_event_fileno, METH_NOARGS,
     "fileno($self)\n--\n\n"
     "A descriptor that is readable once the interpreter is gone: for select, selectors, any event loop. It "
     "stays isthmus's: never read or\n"
     "close it. Valid as long as this interpreter has a ClosedEvent for the same interpreter. OSError if "
     "there are too many open files."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot closed_event_slots[] = {
    {Py_tp_dealloc, slot(closed_event_dealloc)},
    {Py_tp_methods, closed_event_methods},
    {Py_tp_repr, slot(closed_event_repr)},
    {Py_tp_hash, slot(closed_event_hash)},
    {Py_tp_richcompare, slot(closed_event_compare)},
    {Py_tp_doc,
     const_cast<char*>("The end of an interpreter, whoever ends it, as an event: `Interpreter.closed`.\n\n"
                       "A case of `select`; sendable. It does not keep the interpreter open. One that the "
                       "standard library or a host\n"
                       "ends counts as gone when its exit handlers have run.")},
    {0, nullptr}};

PyType_Spec closed_event_spec = {
    "isthmus.ClosedEvent", sizeof(closed_event_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, closed_event_slots};

} // namespace

void add_closed_event_type(PyObject* module) {
    add_type(module, closed_event_spec, state_of(module).closed_event_type);
}

ref make_closed_event(state& s, std::shared_ptr<core::death_notice> of) {
    ref made = require(s.closed_event_type->tp_alloc(s.closed_event_type, 0));
    closed_event_object& self = closed_event_of(made.get());
    std::construct_at(&self.of);
    std::construct_at(&self.here, s.here);
    self.module = &s;
    of->add_holder(core::end::recv, *s.here->side);
    self.of = std::move(of);
    return made;
}

std::unique_ptr<core::attachment> pack_closed_event(state& s, PyObject* o) {
    return Py_TYPE(o) == s.closed_event_type
               ? std::make_unique<core::travelling_death_notice>(closed_event_of(o).of)
               : nullptr;
}

ref unpack_closed_event(state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<core::travelling_death_notice*>(&travelling);
    return found != nullptr ? make_closed_event(s, found->of) : ref{};
}

} // namespace isthmus::module

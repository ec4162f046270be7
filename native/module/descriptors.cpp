#include "module/descriptors.hpp"

#include "cpython/methods.hpp"

#include "core/descriptor.hpp"

#include <cerrno>
#include <system_error>

namespace isthmus::module {
namespace {

using py::guarded;
using py::ref;
using py::require;
using py::slot;

struct descriptor_object {
    PyObject_HEAD;
    std::shared_ptr<core::descriptor> held;
};

descriptor_object& descriptor_of(PyObject* o) noexcept {
    return *reinterpret_cast<descriptor_object*>(o);
}

ref make_descriptor(PyTypeObject* type, std::shared_ptr<core::descriptor> held) {
    ref made = require(type->tp_alloc(type, 0));
    std::construct_at(&descriptor_of(made.get()).held, std::move(held));
    return made;
}

PyObject* descriptor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static const char* names[] = {"fd", nullptr};
        int number = -1;
        if (PyArg_ParseTupleAndKeywords(args, kwargs, "i", const_cast<char**>(names), &number) == 0) {
            throw py::python_error{};
        }
        try {
            auto held = std::make_shared<core::descriptor>(core::descriptor::duplicate_of(number));
            return make_descriptor(type, std::move(held)).release();
        } catch (const std::system_error& error) {
            errno = error.code().value();
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    });
}

void descriptor_dealloc(PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    std::destroy_at(&descriptor_of(o).held);
    type->tp_free(o);
    Py_DECREF(type);
}

PyObject* descriptor_fileno(PyObject* o, PyObject*) {
    return PyLong_FromLong(descriptor_of(o).held->number());
}

PyObject* descriptor_detach(PyObject* o, PyObject*) {
    return PyLong_FromLong(descriptor_of(o).held->release());
}

PyMethodDef descriptor_methods[] = {
    {"fileno", descriptor_fileno, METH_NOARGS, "fileno($self)\n--\n\nThe number; -1 after detach."},
    {"detach", descriptor_detach, METH_NOARGS,
     "detach($self)\n--\n\nThe number, which the caller closes from now on."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot descriptor_slots[] = {
    {Py_tp_new, slot(descriptor_new)},
    {Py_tp_dealloc, slot(descriptor_dealloc)},
    {Py_tp_methods, descriptor_methods},
    {Py_tp_doc, const_cast<char*>("_Descriptor(fd)\n--\n\nA duplicate of a file descriptor, "
                                  "closed when nobody takes it. OSError.")},
    {0, nullptr}};

PyType_Spec descriptor_spec = {"isthmus._Descriptor", sizeof(descriptor_object), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, descriptor_slots};

} // namespace

void add_descriptor_type(PyObject* module) {
    add_type(module, descriptor_spec, state_of(module).descriptor_type);
}

std::unique_ptr<core::attachment> pack_descriptor(const state& s, PyObject* o) {
    return Py_TYPE(o) == s.descriptor_type
               ? std::make_unique<core::travelling_descriptor>(descriptor_of(o).held)
               : nullptr;
}

ref unpack_descriptor(const state& s, core::attachment& travelling) {
    auto* const found = dynamic_cast<core::travelling_descriptor*>(&travelling);
    return found != nullptr ? make_descriptor(s.descriptor_type, std::move(found->held)) : ref{};
}

} // namespace isthmus::module

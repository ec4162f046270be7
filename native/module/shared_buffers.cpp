#include "module/shared_buffers.hpp"

#include "cpython/methods.hpp"

#include <limits>

namespace isthmus::module {
namespace {

using core::memory_hold;
using core::shared_memory;
using py::guarded;
using py::method;
using py::ref;
using py::require;
using py::slot;

shared_memory& memory_of(PyObject* o) noexcept {
    return *shared_buffer_of(o).held->what();
}

ref make_shared_buffer(state& s, std::shared_ptr<shared_memory> what) {
    PyTypeObject* const type = s.shared_buffer_type;
    ref made = require(type->tp_alloc(type, 0));
    shared_buffer_object& self = shared_buffer_of(made.get());
    self.module = &s;
    self.held = new memory_hold(s.here, std::move(what));
    return made;
}

std::size_t size_of(PyObject* given) {
    const ref number = require(PyNumber_Index(given));
    int overflow = 0;
    const long long size = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
    if (overflow < 0 || (overflow == 0 && size < 0)) {
        py::fail(PyExc_ValueError, "nbytes must be at least 0");
    }
    if (overflow > 0 || size > std::numeric_limits<Py_ssize_t>::max()) {
        throw std::bad_alloc{};
    }
    return static_cast<std::size_t>(size);
}

PyObject* buffer_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        static const char* names[] = {"nbytes", nullptr};
        PyObject* nbytes = nullptr;
        if (PyArg_ParseTupleAndKeywords(args, kwargs, "O:SharedBuffer", const_cast<char**>(names), &nbytes) ==
            0) {
            throw py::python_error{};
        }
        return make_shared_buffer(state_of_type(type), shared_memory::create(size_of(nbytes))).release();
    });
}

void buffer_dealloc(PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    delete shared_buffer_of(o).held;
    type->tp_free(o);
    Py_DECREF(type);
}

int buffer_getbuffer(PyObject* o, Py_buffer* into, int flags) {
    shared_memory& shown = memory_of(o);
    return PyBuffer_FillInfo(into, o, shown.data(), static_cast<Py_ssize_t>(shown.size()), 0, flags);
}

Py_ssize_t buffer_length(PyObject* o) {
    return static_cast<Py_ssize_t>(memory_of(o).size());
}

PyObject* buffer_nbytes(PyObject* o, void*) {
    return PyLong_FromSize_t(memory_of(o).size());
}

PyObject* buffer_repr(PyObject* o) {
    return PyUnicode_FromFormat("<SharedBuffer nbytes=%zd at %p>", buffer_length(o), memory_of(o).data());
}

Py_hash_t buffer_hash(PyObject* o) {
    return Py_HashPointer(&memory_of(o));
}

PyObject* buffer_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    const bool equal = &memory_of(a) == &memory_of(b);
    return PyBool_FromLong(equal == (operation == Py_EQ) ? 1 : 0);
}

PyObject* buffer_atomic(PyObject* o, PyObject* fmt) {
    return guarded<PyObject*>(
        nullptr, [&] { return make_atomic_view(*shared_buffer_of(o).module, o, fmt).release(); });
}

PyObject* buffer_reduce(PyObject* o, PyObject*) {
    return PyErr_Format(shared_buffer_of(o).module->not_shareable_error,
                        "a SharedBuffer can't be pickled: its memory belongs to this process; isthmus hands "
                        "it to other interpreters as it is");
}

PyMethodDef buffer_methods[] = {
    {"atomic", buffer_atomic, METH_O,
     "atomic($self, fmt, /)\n--\n\n"
     "An AtomicView of the memory as integers of the struct format `fmt`: 'i', 'I' (32 bits), 'q', 'Q' (64 "
     "bits), 'l', 'L'\n(as C's long). Capitals are unsigned.\n\n"
     "ValueError: another format, or a buffer whose length is not a multiple of the item size."},
    {"__reduce__", buffer_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {{"nbytes", buffer_nbytes, nullptr, "The size in bytes; as len().", nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

constexpr char documentation[] =
    "SharedBuffer(nbytes)\n--\n\n"
    "Mutable memory for all interpreters: `nbytes` zero bytes, page aligned, which exports a writable buffer "
    "of format 'B'.\n\n"
    "It crosses as what it is: every interpreter that receives it sees the same memory, and it is freed when "
    "the last one drops\nit, messages on their way and memoryviews included. Two are equal if they are the "
    "same memory. Nothing orders plain reads\nand writes of different threads; `atomic(fmt)` does. A forked "
    "child has a private copy.\n\n"
    "ValueError if `nbytes` is negative, MemoryError if there is not that much memory. Can't be pickled.";

PyType_Slot buffer_slots[] = {{Py_tp_new, slot(buffer_new)},
                              {Py_tp_dealloc, slot(buffer_dealloc)},
                              {Py_tp_methods, buffer_methods},
                              {Py_tp_getset, properties},
                              {Py_tp_repr, slot(buffer_repr)},
                              {Py_tp_hash, slot(buffer_hash)},
                              {Py_tp_richcompare, slot(buffer_compare)},
                              {Py_sq_length, slot(buffer_length)},
                              {Py_bf_getbuffer, slot(buffer_getbuffer)},
                              {Py_tp_doc, const_cast<char*>(documentation)},
                              {0, nullptr}};

PyType_Spec buffer_spec = {"isthmus.SharedBuffer", sizeof(shared_buffer_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, buffer_slots};

} // namespace

void add_shared_buffer_types(PyObject* module) {
    state& s = state_of(module);
    add_type(module, buffer_spec, s.shared_buffer_type);
    add_atomic_view_type(module);
}

std::unique_ptr<core::attachment> pack_shared_buffer(const state& s, PyObject* o) {
    PyObject* const shown = buffer_of_view(s, o);
    PyObject* const buffer = shown != nullptr ? shown : o;
    if (Py_TYPE(buffer) != s.shared_buffer_type) {
        return nullptr;
    }
    return std::make_unique<core::travelling_memory>(shared_buffer_of(buffer).held->what(),
                                                     shown != nullptr ? format_of_view(o) : '\0');
}

ref unpack_shared_buffer(state& s, core::attachment& travelling) {
    const auto* const found = dynamic_cast<core::travelling_memory*>(&travelling);
    if (found == nullptr) {
        return {};
    }
    ref buffer = make_shared_buffer(s, found->what);
    if (found->format == '\0') {
        return buffer;
    }
    const ref fmt = require(PyUnicode_FromOrdinal(found->format));
    return make_atomic_view(s, buffer.get(), fmt.get());
}

shared_memory* shared_memory_of(const state& s, PyObject* o) noexcept {
    PyObject* const shown = buffer_of_view(s, o);
    PyObject* const buffer = shown != nullptr ? shown : o;
    return Py_TYPE(buffer) == s.shared_buffer_type ? &memory_of(buffer) : nullptr;
}

} // namespace isthmus::module

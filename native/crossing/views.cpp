#include "crossing/views.hpp"

#include "crossing/kinds.hpp"

#include "cpython/current.hpp"
#include "cpython/lifecycle.hpp"
#include "cpython/methods.hpp"
#include "cpython/twin.hpp"

#include "core/shared_memory.hpp"
#include "core/view.hpp"

#include <cstring>

namespace isthmus::crossing {
namespace {

using core::buffer_layout;
using py::ref;
using py::require;
using py::slot;

/// The loan of a Python exporter. The buffer is filled in place: exporters may point into it.
class python_loan final : public core::loan {
  public:
    explicit python_loan(core::interpreter_ref owner) noexcept : loan(std::move(owner)) {}

    using loan::covers;
    Py_buffer buffer{};
    core::share pinned; ///< the slot its memory lies in, if it does
    /// Likewise. Its exporter holds it too, but the views of an orphan outlive what held its exporter.
    std::shared_ptr<core::shared_memory> block;

  private:
    bool is_home() const noexcept override { return py::current_interpreter() == owner().get(); }
    void give_back() override {
        py::unpin(*owner(), std::move(pinned));
        PyBuffer_Release(&buffer);
    }
};

// ---- the receiver's exporter

struct exporter_object {
    PyObject_HEAD;
    core::received_view* shown; ///< null until it is made whole
};

exporter_object& self_of(PyObject* o) noexcept {
    return *reinterpret_cast<exporter_object*>(o);
}

void exporter_dealloc(PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    if (core::received_view* const shown = self_of(o).shown; shown != nullptr) {
        core::loan_ref of = std::move(shown->of());
        delete shown;
        of.reset_here();
    }
    type->tp_free(o);
    Py_DECREF(type);
}

bool is_exporter(PyObject* o) noexcept {
    return Py_TYPE(o)->tp_dealloc == exporter_dealloc;
}

bool asks_for(int flags, int what) noexcept {
    return (flags & what) == what;
}

/// The first thing of a request that the buffer, given whole, can't be; null if it can.
const char* obstacle(const Py_buffer& whole, int flags) noexcept {
    if (asks_for(flags, PyBUF_WRITABLE) && whole.readonly != 0) {
        return "it is read-only";
    }
    if (asks_for(flags, PyBUF_C_CONTIGUOUS) && PyBuffer_IsContiguous(&whole, 'C') == 0) {
        return "it is not C-contiguous";
    }
    if (asks_for(flags, PyBUF_F_CONTIGUOUS) && PyBuffer_IsContiguous(&whole, 'F') == 0) {
        return "it is not Fortran contiguous";
    }
    if (asks_for(flags, PyBUF_ANY_CONTIGUOUS) && PyBuffer_IsContiguous(&whole, 'A') == 0) {
        return "it is not contiguous";
    }
    if (!asks_for(flags, PyBUF_INDIRECT) && whole.suboffsets != nullptr) {
        return "it needs suboffsets";
    }
    if (!asks_for(flags, PyBUF_STRIDES) && PyBuffer_IsContiguous(&whole, 'C') == 0) {
        return "it is not C-contiguous and no strides are asked for";
    }
    if (!asks_for(flags, PyBUF_ND) && asks_for(flags, PyBUF_FORMAT)) {
        return "a format needs a shape";
    }
    return nullptr;
}

/// All that the layout says; the arrays stay its own.
Py_buffer whole_buffer(const buffer_layout& layout) noexcept {
    Py_buffer b{};
    b.buf = layout.data;
    b.len = layout.length;
    b.itemsize = layout.item_size;
    b.readonly = layout.read_only ? 1 : 0;
    b.ndim = layout.dimensions;
    b.format = const_cast<char*>(layout.format.c_str());
    if (layout.dimensions != 0) {
        auto* const extents = const_cast<std::ptrdiff_t*>(layout.extents.data());
        b.shape = extents;
        b.strides = extents + layout.dimensions;
        b.suboffsets = layout.indirect ? extents + 2 * std::ptrdiff_t{layout.dimensions} : nullptr;
    }
    return b;
}

int exporter_getbuffer(PyObject* o, Py_buffer* into, int flags) {
    Py_buffer whole = whole_buffer(self_of(o).shown->layout());
    if (const char* why = obstacle(whole, flags); why != nullptr) {
        PyErr_Format(PyExc_BufferError, "isthmus.View: %s", why);
        into->obj = nullptr;
        return -1;
    }
    if (!asks_for(flags, PyBUF_FORMAT)) {
        whole.format = nullptr;
    }
    if (!asks_for(flags, PyBUF_STRIDES)) {
        whole.strides = nullptr;
    }
    if (!asks_for(flags, PyBUF_ND)) {
        whole.shape = nullptr;
        whole.ndim = 1;
    }
    whole.obj = Py_NewRef(o);
    *into = whole;
    return 0;
}

PyObject* exporter_repr(PyObject* o) {
    core::received_view& shown = *self_of(o).shown;
    const auto size = static_cast<Py_ssize_t>(shown.layout().length);
    const core::interpreter_ref& owner = shown.of()->owner();
    return owner == nullptr ? PyUnicode_FromFormat("<isthmus.View of %zd bytes owned by the host>", size)
                            : PyUnicode_FromFormat("<isthmus.View of %zd bytes owned by interpreter %lld>",
                                                   size, static_cast<long long>(owner->number));
}

PyType_Slot exporter_slots[] = {
    {Py_tp_dealloc, slot(exporter_dealloc)},
    {Py_bf_getbuffer, slot(exporter_getbuffer)},
    {Py_tp_repr, slot(exporter_repr)},
    {Py_tp_doc,
     const_cast<char*>("Stands for a buffer of another interpreter: the `obj` of a received memoryview.")},
    {0, nullptr}};

constexpr unsigned flags_of_type =
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION;
PyType_Spec exporter_spec = {"isthmus.View", sizeof(exporter_object), 0, flags_of_type, exporter_slots};

/// The isthmus.View behind `o`, or null. While a buffer of `o` is held: a released memoryview still names its
/// base, which may be gone.
exporter_object* exporter_behind(PyObject* o) noexcept {
    PyObject* const base = PyMemoryView_Check(o) ? PyMemoryView_GET_BASE(o) : o;
    return base != nullptr && is_exporter(base) ? &self_of(base) : nullptr;
}

// ---- the sender

/// Shape and strides may be left out for what is one row of items.
void describe(const Py_buffer& b, buffer_layout& layout) {
    layout.data = static_cast<std::byte*>(b.buf);
    layout.length = b.len;
    layout.item_size = b.itemsize;
    layout.dimensions = b.ndim;
    layout.read_only = b.readonly != 0;
    layout.indirect = b.suboffsets != nullptr && b.ndim != 0;
    layout.format = b.format != nullptr ? b.format : "B";
    const auto count = static_cast<std::size_t>(b.ndim);
    layout.extents.resize(count * (layout.indirect ? 3 : 2));
    std::ptrdiff_t* const shape = layout.extents.data();
    std::ptrdiff_t* const strides = shape + count;
    std::ptrdiff_t step = b.itemsize;
    for (std::size_t i = count; i-- > 0;) {
        shape[i] = b.shape != nullptr ? b.shape[i] : b.itemsize != 0 ? b.len / b.itemsize : 0;
        strides[i] = b.strides != nullptr ? b.strides[i] : step;
        step *= shape[i];
        if (layout.indirect) {
            strides[count + i] = b.suboffsets[i];
        }
    }
}

/// The exporter says no: closed, released, or in a state that forbids it. Anything else of its passes as it
/// is.
[[noreturn]] void refused(PyObject* o) {
    if (PyErr_ExceptionMatches(PyExc_ValueError) == 0 && PyErr_ExceptionMatches(PyExc_BufferError) == 0) {
        throw py::python_error{};
    }
    const ref why = ref::steal(PyErr_GetRaisedException());
    const ref errors = require(PyImport_ImportModule("isthmus._errors"));
    const ref type = require(PyObject_GetAttrString(errors.get(), "NotShareableError"));
    PyErr_Format(type.get(), "this %.200s can't be sent to another interpreter (%S)", Py_TYPE(o)->tp_name,
                 why.get());
    const ref raised = ref::steal(PyErr_GetRaisedException());
    PyException_SetCause(raised.get(), Py_NewRef(why.get()));
    PyErr_SetRaisedException(Py_NewRef(raised.get()));
    throw py::python_error{};
}

/// Releases a buffer that is only looked at.
class borrowed_buffer {
  public:
    explicit borrowed_buffer(PyObject* o) {
        if (PyObject_GetBuffer(o, &buffer, PyBUF_FULL_RO) != 0) {
            refused(o);
        }
    }
    ~borrowed_buffer() { PyBuffer_Release(&buffer); }
    borrowed_buffer(const borrowed_buffer&) = delete;
    borrowed_buffer& operator=(const borrowed_buffer&) = delete;
    Py_buffer buffer{};
};

/// Memory of the arena is pinned, and shown where it outlives the window it lies in. Not so behind
/// suboffsets, whose pointers name addresses of the window: those are refused there.
void make_last(core::interpreter& from, python_loan& made, buffer_layout& layout) {
    made.pinned = py::pin(from, layout.data);
    if (!made.pinned) {
        made.block = core::shared_memory::containing(layout.data);
        return;
    }
    if (layout.indirect) {
        py::fail(PyExc_BufferError, "a buffer with suboffsets lies in isthmus's shared memory");
    }
    layout.data = core::memory().lasting(layout.data, layout.read_only);
}

/// Throws what the exporter raised; it then has its buffer back.
core::view lend(core::interpreter& from, PyObject* o) {
    core::view made;
    auto loan = std::make_unique<python_loan>(py::current_interpreter_ref());
    if (PyObject_GetBuffer(o, &loan->buffer, PyBUF_FULL_RO) != 0) {
        refused(o);
    }
    try {
        describe(loan->buffer, made.layout);
        make_last(from, *loan, made.layout);
    } catch (...) {
        py::unpin(from, std::move(loan->pinned));
        PyBuffer_Release(&loan->buffer);
        throw;
    }
    py::start_errands(from);
    loan->covers(core::memory_range::of(made.layout));
    made.of = core::loan_ref::begin(std::move(loan));
    return made;
}

core::view view_of(core::interpreter& from, PyObject* o) {
    if (PyMemoryView_Check(o) || is_exporter(o)) {
        const borrowed_buffer shape(o); // of a slice or a cast it is another than the received one
        if (exporter_object* const received = exporter_behind(o); received != nullptr) {
            core::view again;
            describe(shape.buffer, again.layout);
            again.of = received->shown->of();
            return again;
        }
    }
    return lend(from, o);
}

} // namespace

bool crosses_as_view(PyObject* o) noexcept {
    return PyMemoryView_Check(o) || is_exporter(o) ||
           ((Py_TYPE(o)->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0 &&
            std::strcmp(Py_TYPE(o)->tp_name, "mmap.mmap") == 0);
}

std::unique_ptr<core::attachment> pack_view(core::interpreter& from, PyObject* o) {
    if (PyObject_CheckBuffer(o) == 0) {
        py::fail(PyExc_TypeError, "an object that exports a buffer is needed, not %.200s",
                 Py_TYPE(o)->tp_name);
    }
    return std::make_unique<core::travelling_view>(view_of(from, o));
}

core::message encode_view(core::interpreter& from, PyObject* o) {
    auto body = std::make_unique<core::parcel>();
    body->attachments.reserve(1);
    *body->data.extend(1) = static_cast<std::byte>(tag::attachment);
    body->attachments.push_back(pack_view(from, o));
    return {static_cast<std::uint8_t>(kind::parcel), std::move(body)};
}

ref unpack_view(core::interpreter_ref to, PyTypeObject* exporter_type, core::attachment& travelling) {
    auto* const found = dynamic_cast<core::travelling_view*>(&travelling);
    if (found == nullptr) {
        return {};
    }
    const ref exporter = require(exporter_type->tp_alloc(exporter_type, 0));
    self_of(exporter.get()).shown = new core::received_view(std::move(to), std::move(found->what));
    return require(PyMemoryView_FromObject(exporter.get()));
}

ref make_exporter_type(PyObject* module) {
    return require(PyType_FromModuleAndSpec(module, &exporter_spec, nullptr));
}

core::interpreter_ref owner_of_view(PyObject* o) noexcept {
    Py_buffer held;
    if (!(PyMemoryView_Check(o) || is_exporter(o)) || PyObject_GetBuffer(o, &held, PyBUF_FULL_RO) != 0) {
        PyErr_Clear(); // released: it shows nothing
        return nullptr;
    }
    const exporter_object* const found = exporter_behind(o);
    core::interpreter_ref owner = found != nullptr ? found->shown->of()->owner() : nullptr;
    PyBuffer_Release(&held);
    return owner;
}

bool same_buffer(PyObject* a, PyObject* b) {
    if (PyObject_CheckBuffer(a) == 0 || PyObject_CheckBuffer(b) == 0) {
        return false;
    }
    const borrowed_buffer first(a);
    const borrowed_buffer second(b);
    return first.buffer.len != 0 && second.buffer.len != 0 &&
           core::memory().canonical(first.buffer.buf) == core::memory().canonical(second.buffer.buf);
}

} // namespace isthmus::crossing

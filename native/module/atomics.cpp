/// `AtomicView`: the memory of a SharedBuffer as integers that all interpreters may change at once.

#include "module/arguments.hpp"
#include "module/shared_buffers.hpp"

#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "core/atomic_cell.hpp"

#include <limits>
#include <optional>

namespace isthmus::module {
namespace {

using core::atomic_cell;
using core::outcome;
using py::guarded;
using py::method;
using py::ref;
using py::require;
using py::slot;

struct format {
    char code;
    bool is_signed;
    std::size_t size; ///< of an element, in bytes

    [[nodiscard]] bool narrow() const noexcept { return size == sizeof(std::uint32_t); }
};

constexpr format formats[] = {{'i', true, 4},  {'I', false, 4},           {'q', true, 8},
                              {'Q', false, 8}, {'l', true, sizeof(long)}, {'L', false, sizeof(long)}};

/// The memory stays where it is as long as `buffer` lives.
struct view_object {
    PyObject_HEAD;
    PyObject* buffer; ///< a SharedBuffer
    const format* as;
    std::byte* data;
    Py_ssize_t count;
};

view_object& view_of(PyObject* o) noexcept {
    return *reinterpret_cast<view_object*>(o);
}

state& module_of(PyObject* view) noexcept {
    return *shared_buffer_of(view_of(view).buffer).module;
}

// ---- integers and bits

template <typename Wide, typename Narrow> constexpr bool fits(Wide value) noexcept {
    return value >= std::numeric_limits<Narrow>::min() && value <= std::numeric_limits<Narrow>::max();
}

/// In two's complement, zero above the element's size; nothing if it does not fit.
std::optional<std::uint64_t> bits_of(const format& as, PyObject* number) {
    if (as.is_signed) {
        int overflow = 0;
        const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
        if (overflow != 0 || (as.narrow() && !fits<long long, std::int32_t>(value))) {
            return std::nullopt;
        }
        return as.narrow() ? static_cast<std::uint32_t>(value) : static_cast<std::uint64_t>(value);
    }
    const unsigned long long value = PyLong_AsUnsignedLongLong(number);
    if (value == std::numeric_limits<unsigned long long>::max() && PyErr_Occurred() != nullptr) {
        PyErr_Clear(); // the caller says which numbers fit
        return std::nullopt;
    }
    if (as.narrow() && !fits<unsigned long long, std::uint32_t>(value)) {
        return std::nullopt;
    }
    return value;
}

std::uint64_t value_of(PyObject* view, PyObject* given) {
    const format& as = *view_of(view).as;
    const ref number = require(PyNumber_Index(given));
    const std::optional<std::uint64_t> bits = bits_of(as, number.get());
    if (!bits) {
        py::fail(PyExc_OverflowError, "the value does not fit the format '%c'", as.code);
    }
    return *bits;
}

PyObject* integer_of(PyObject* view, std::uint64_t bits) {
    const format& as = *view_of(view).as;
    if (!as.is_signed) {
        return PyLong_FromUnsignedLongLong(bits);
    }
    return PyLong_FromLongLong(as.narrow() ? static_cast<std::int32_t>(static_cast<std::uint32_t>(bits))
                                           : static_cast<std::int64_t>(bits));
}

atomic_cell cell_at(PyObject* view, PyObject* index) {
    const view_object& self = view_of(view);
    Py_ssize_t at = PyNumber_AsSsize_t(index, PyExc_IndexError);
    require(at == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
    at += at < 0 ? self.count : 0;
    if (at < 0 || at >= self.count) {
        py::fail(PyExc_IndexError, "index out of range: the AtomicView has %zd elements", self.count);
    }
    return {self.data + static_cast<std::size_t>(at) * self.as->size, self.as->size};
}

// ---- operations

PyObject* view_load(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [index] = parse<1>("load", {"index"}, 1, args, count, keywords);
        return integer_of(o, cell_at(o, index).load());
    });
}

PyObject* view_store(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [index, value] = parse<2>("store", {"index", "value"}, 2, args, count, keywords);
        const std::uint64_t bits = value_of(o, value);
        cell_at(o, index).store(bits);
        Py_RETURN_NONE;
    });
}

using change = std::uint64_t (atomic_cell::*)(std::uint64_t) const noexcept;

/// exchange, add and so on: each takes an index and a value and returns what was there before.
template <change Change, const char* Name>
PyObject* view_change(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [index, value] = parse<2>(Name, {"index", "value"}, 2, args, count, keywords);
        const std::uint64_t bits = value_of(o, value);
        return integer_of(o, (cell_at(o, index).*Change)(bits));
    });
}

PyObject* view_compare_exchange(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [index, expected, desired] =
            parse<3>("compare_exchange", {"index", "expected", "desired"}, 3, args, count, keywords);
        const std::uint64_t old = value_of(o, expected);
        const std::uint64_t fresh = value_of(o, desired);
        return integer_of(o, cell_at(o, index).compare_exchange(old, fresh));
    });
}

PyObject* view_wait(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [index, expected, timeout] =
            parse<3>("wait", {"index", "expected", "timeout"}, 2, args, count, keywords);
        const std::uint64_t old = value_of(o, expected);
        const core::futex::deadline until = deadline_of(timeout);
        const atomic_cell cell = cell_at(o, index);
        core::interpreter& here = *module_of(o).here;
        py::drain(here);
        if (cell.load() != old) {
            Py_RETURN_TRUE;
        }
        const outcome how = py::wait_for(
            here, [&](core::wait_site& site) { return cell.wait(old, *here.side, until, site); });
        if (how == outcome::party_closing) {
            py::fail(module_of(o).interpreter_error, "wait(): this interpreter is being closed");
        }
        return PyBool_FromLong(how != outcome::timed_out ? 1 : 0);
    });
}

PyObject* view_notify(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        const auto [index, most] = parse<2>("notify", {"index", "count"}, 1, args, count, keywords);
        Py_ssize_t wanted = std::numeric_limits<Py_ssize_t>::max();
        if (most != nullptr && most != Py_None) {
            wanted = PyNumber_AsSsize_t(most, nullptr); // clipped: more than there can be is all
            require(wanted == -1 && PyErr_Occurred() != nullptr ? -1 : 0);
            if (wanted < 0) {
                py::fail(PyExc_ValueError, "count must be None or at least 0");
            }
        }
        return PyLong_FromSize_t(cell_at(o, index).notify(static_cast<std::size_t>(wanted)));
    });
}

// ---- the object

void view_dealloc(PyObject* o) {
    PyTypeObject* const type = Py_TYPE(o);
    Py_XDECREF(view_of(o).buffer);
    type->tp_free(o);
    Py_DECREF(type);
}

Py_ssize_t view_length(PyObject* o) {
    return view_of(o).count;
}

PyObject* view_repr(PyObject* o) {
    const view_object& self = view_of(o);
    return PyUnicode_FromFormat("<AtomicView fmt='%c' len=%zd at %p>", self.as->code, self.count, self.data);
}

Py_hash_t view_hash(PyObject* o) {
    const Py_hash_t of_buffer = PyObject_Hash(view_of(o).buffer);
    return of_buffer == -1 ? -1 : (of_buffer ^ view_of(o).as->code); // never -1: the buffer's is an address
}

PyObject* view_compare(PyObject* a, PyObject* b, int operation) {
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (view_of(a).as != view_of(b).as) {
        return PyBool_FromLong(operation == Py_NE ? 1 : 0);
    }
    return PyObject_RichCompare(view_of(a).buffer, view_of(b).buffer, operation);
}

PyObject* view_fmt(PyObject* o, void*) {
    return PyUnicode_FromOrdinal(view_of(o).as->code);
}

PyObject* view_itemsize(PyObject* o, void*) {
    return PyLong_FromSize_t(view_of(o).as->size);
}

PyObject* view_nbytes(PyObject* o, void*) {
    return PyObject_GetAttrString(view_of(o).buffer, "nbytes");
}

PyObject* view_obj(PyObject* o, void*) {
    return Py_NewRef(view_of(o).buffer);
}

PyObject* view_reduce(PyObject* o, PyObject*) {
    return PyErr_Format(
        module_of(o).not_shareable_error,
        "an AtomicView can't be pickled: its memory belongs to this process; isthmus hands it "
        "to other interpreters as it is");
}

constexpr char exchange_name[] = "exchange";
constexpr char add_name[] = "add";
constexpr char sub_name[] = "sub";
constexpr char and_name[] = "and_";
constexpr char or_name[] = "or_";
constexpr char xor_name[] = "xor";

constexpr int fast = METH_FASTCALL | METH_KEYWORDS;

PyMethodDef atomic_view_methods[] = {
    {"load", method(view_load), fast, "load($self, index)\n--\n\nThe element's value."},
    {"store", method(view_store), fast, "store($self, index, value)\n--\n\nSet the element to `value`."},
    {"exchange", method(view_change<&atomic_cell::exchange, exchange_name>), fast,
     "exchange($self, index, value)\n--\n\nSet the element to `value`; return what it was."},
    {"add", method(view_change<&atomic_cell::add, add_name>), fast,
     "add($self, index, value)\n--\n\nAdd `value` to the element, wrapping around; return what it was."},
    {"sub", method(view_change<&atomic_cell::subtract, sub_name>), fast,
     "sub($self, index, value)\n--\n\nSubtract `value` from the element, wrapping around; return what it "
     "was."},
    {"and_", method(view_change<&atomic_cell::bit_and, and_name>), fast,
     "and_($self, index, value)\n--\n\nCombine the element with `value` by bitwise and; return what it was."},
    {"or_", method(view_change<&atomic_cell::bit_or, or_name>), fast,
     "or_($self, index, value)\n--\n\nCombine the element with `value` by bitwise or; return what it was."},
    {"xor", method(view_change<&atomic_cell::bit_xor, xor_name>), fast,
     "xor($self, index, value)\n--\n\nCombine the element with `value` by bitwise exclusive or; return what "
     "it was."},
    {"compare_exchange", method(view_compare_exchange), fast,
     "compare_exchange($self, index, expected, desired)\n--\n\n"
     "Set the element to `desired` if it is `expected`; return what it was: it was set if that equals "
     "`expected`."},
    {"wait", method(view_wait), fast,
     "wait($self, index, expected, timeout=None)\n--\n\n"
     "Sleep while the element is `expected`, until notify() wakes this thread, at most `timeout` seconds. "
     "False: timed out; True:\nwoken, or it was something else from the start.\n\n"
     "Whoever changes the element and then notifies is never missed. A change alone wakes nobody, and after "
     "a wake-up the element\nmay be `expected` again: wait in a loop. The GIL is released. InterpreterError "
     "if "
     "this interpreter is being closed."},
    {"notify", method(view_notify), fast,
     "notify($self, index, count=None)\n--\n\n"
     "Wake at most `count` of the threads, of whichever interpreters, that wait() for the element, those "
     "first that came first;\nNone: all. Return how many. ValueError if `count` is negative."},
    {"__reduce__", view_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {{"fmt", view_fmt, nullptr, "The format of an element, as it was given.", nullptr},
                            {"itemsize", view_itemsize, nullptr, "The size of an element in bytes.", nullptr},
                            {"nbytes", view_nbytes, nullptr, "The size of the memory in bytes.", nullptr},
                            {"obj", view_obj, nullptr, "The SharedBuffer.", nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

constexpr char documentation[] =
    "The memory of a SharedBuffer as integers; SharedBuffer.atomic() makes it. It crosses as the buffer "
    "does.\n\n"
    "Every operation is atomic and sequentially consistent between all threads of all interpreters; "
    "arithmetic wraps around.\n"
    "Indices count elements, negative ones from the end. IndexError: there is no such element; "
    "OverflowError: a value that the\nformat can't hold; TypeError: not an integer.";

PyType_Slot atomic_view_slots[] = {{Py_tp_dealloc, slot(view_dealloc)},
                                   {Py_tp_methods, atomic_view_methods},
                                   {Py_tp_getset, properties},
                                   {Py_tp_repr, slot(view_repr)},
                                   {Py_tp_hash, slot(view_hash)},
                                   {Py_tp_richcompare, slot(view_compare)},
                                   {Py_sq_length, slot(view_length)},
                                   {Py_tp_doc, const_cast<char*>(documentation)},
                                   {0, nullptr}};

PyType_Spec atomic_view_spec = {
    "isthmus.AtomicView", sizeof(view_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, atomic_view_slots};

const format& format_named(PyObject* fmt) {
    if (!PyUnicode_Check(fmt)) {
        py::fail(PyExc_TypeError, "fmt must be a str, not %.200s", Py_TYPE(fmt)->tp_name);
    }
    for (const format& each : formats) {
        const char code[] = {each.code, '\0'};
        if (PyUnicode_CompareWithASCIIString(fmt, code) == 0) {
            return each;
        }
    }
    py::fail(PyExc_ValueError, "fmt must be one of 'i', 'I', 'q', 'Q', 'l', 'L', not %R", fmt);
}

} // namespace

void add_atomic_view_type(PyObject* module) {
    add_type(module, atomic_view_spec, state_of(module).atomic_view_type);
}

ref make_atomic_view(state& s, PyObject* buffer, PyObject* fmt) {
    const format& as = format_named(fmt);
    core::shared_memory& shown = *shared_memory_of(s, buffer);
    if (shown.size() % as.size != 0) {
        py::fail(PyExc_ValueError, "%zu bytes are no whole number of elements of format '%c' (%zu bytes)",
                 shown.size(), as.code, as.size);
    }
    ref made = require(s.atomic_view_type->tp_alloc(s.atomic_view_type, 0));
    view_object& self = view_of(made.get());
    self.buffer = Py_NewRef(buffer);
    self.as = &as;
    self.data = shown.data();
    self.count = static_cast<Py_ssize_t>(shown.size() / as.size);
    return made;
}

PyObject* buffer_of_view(const state& s, PyObject* o) noexcept {
    return Py_TYPE(o) == s.atomic_view_type ? view_of(o).buffer : nullptr;
}

char format_of_view(PyObject* view) noexcept {
    return view_of(view).as->code;
}

} // namespace isthmus::module

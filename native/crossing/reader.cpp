#include "crossing/reader.hpp"

#include "crossing/handles.hpp"

#include "cpython/compat.hpp"
#include "cpython/twin.hpp"

#include <utility>

namespace isthmus::crossing {

using py::ref;
using py::require;

namespace {

/// CPython takes any 4 bytes for a character, and then has a str that nothing is written for.
bool has_no_character(const std::byte* data, std::uint64_t length) noexcept {
    constexpr std::uint32_t last = 0x10FFFF;
    std::uint32_t largest = 0;
    for (std::uint64_t i = 0; i < length; ++i) {
        std::uint32_t character = 0;
        std::memcpy(&character, data + i * sizeof character, sizeof character);
        largest = largest < character ? character : largest;
    }
    return largest > last;
}

} // namespace

reader::~reader() {
    for (const frame& f : frames_) {
        Py_XDECREF(f.made);
        Py_XDECREF(f.first);
        Py_XDECREF(f.attributes);
    }
    drop_values(0);
    for (PyObject* const o : memo_) {
        Py_DECREF(o);
    }
}

ref reader::read() {
    for (;;) {
        PyObject* value = begin();
        while (value != nullptr) {
            if (frames_.empty()) {
                return ref::steal(value);
            }
            frame& f = frames_.back();
            value = f.is == tag::list ? add_to_list(f, value) : deliver(value);
        }
    }
}

void reader::fail_short() {
    py::fail(PyExc_SystemError, "isthmus: a message ends before its value does");
}

void reader::fail_senseless(const char* what) {
    py::fail(PyExc_SystemError, "isthmus: a message makes no sense: %s", what);
}

std::uint64_t reader::count_of_units(std::uint64_t each) {
    const std::uint64_t n = count();
    if (n > (from_.data.size() - at_) / each) {
        fail_short();
    }
    return n;
}

std::uint64_t reader::count_of_values(std::uint64_t each) {
    const std::uint64_t n = count_of_units(each);
    claimed_ += n * each;
    if (claimed_ > from_.data.size()) {
        fail_short();
    }
    return n;
}

reader::frame& reader::push(tag t, bool remember) {
    frame& f = frames_.emplace_back();
    f.is = t;
    f.remember = remember;
    f.base = values_.size();
    return f;
}

PyObject* reader::done() {
    const frame f = frames_.back();
    frames_.pop_back();
    Py_XDECREF(f.first);
    Py_XDECREF(f.attributes);
    return f.made;
}

void reader::put_aside(ref part) {
    values_.push_back(part.get());
    static_cast<void>(part.release());
}

void reader::drop_values(std::size_t base) noexcept {
    while (values_.size() > base) {
        PyObject* const last = values_.back();
        values_.pop_back(); // first: what dies may run code
        Py_DECREF(last);
    }
}

// ---- what has no parts

PyObject* reader::begin() {
    const auto byte = number<std::uint8_t>();
    const bool remember_it = (byte & remembered) != 0;
    const tag t{static_cast<std::uint8_t>(byte & ~remembered)};
    ref leaf;
    switch (t) {
    case tag::nothing:
        return Py_NewRef(Py_None);
    case tag::yes:
        return Py_NewRef(Py_True);
    case tag::no:
        return Py_NewRef(Py_False);
    case tag::ellipsis:
        return Py_NewRef(Py_Ellipsis);
    case tag::not_implemented:
        return Py_NewRef(Py_NotImplemented);
    case tag::int8:
        return require(PyLong_FromLong(number<std::int8_t>())).release();
    case tag::int32:
        return require(PyLong_FromLong(number<std::int32_t>())).release();
    case tag::int64:
        return require(PyLong_FromLongLong(number<std::int64_t>())).release();
    case tag::big:
        return read_big().release();
    case tag::real:
        return require(PyFloat_FromDouble(number<double>())).release();
    case tag::complex: {
        const auto real = number<double>();
        return require(PyComplex_FromDoubles(real, number<double>())).release();
    }
    case tag::again:
        return again().release();
    case tag::ascii:
    case tag::text:
    case tag::name:
        leaf = read_text(t);
        break;
    case tag::octets: {
        const auto size = count();
        const auto* data = reinterpret_cast<const char*>(take(size));
        leaf = require(PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(size)));
        break;
    }
    case tag::bytearray: {
        const auto size = count();
        const auto* data = reinterpret_cast<const char*>(take(size));
        leaf = require(PyByteArray_FromStringAndSize(data, static_cast<Py_ssize_t>(size)));
        break;
    }
    case tag::twin:
        leaf = next_share();
        break;
    case tag::attachment:
        leaf = next_attachment();
        break;
    case tag::global:
        leaf = read_global();
        break;
    case tag::tuple:
    case tag::known_tuple:
    case tag::frozenset:
    case tag::known_frozenset:
        return begin_late(t, remember_it, count_of_values());
    case tag::range:
    case tag::slice:
    case tag::known_slice:
        return begin_late(t, remember_it, 3);
    case tag::list:
        return begin_list(remember_it);
    case tag::set:
        return begin_set(remember_it);
    case tag::dict:
        return begin_dict(remember_it);
    case tag::instance:
        push(t, remember_it);
        return nullptr;
    case tag::reduced: {
        const auto parts = number<std::uint8_t>();
        push(t, remember_it).parts = parts;
        return nullptr;
    }
    case tag::stop:
        return stop();
    default:
        fail_senseless("an unknown tag");
    }
    if (remember_it) {
        remember(leaf.get());
    }
    return leaf.release();
}

ref reader::read_big() {
    const auto size = count();
    return require(PyLong_FromNativeBytes(take(size), size, Py_ASNATIVEBYTES_LITTLE_ENDIAN));
}

ref reader::read_text(tag t) {
    const int width = t == tag::ascii ? int{PyUnicode_1BYTE_KIND} : int{number<std::uint8_t>()};
    if (width != PyUnicode_1BYTE_KIND && width != PyUnicode_2BYTE_KIND && width != PyUnicode_4BYTE_KIND) {
        fail_senseless("a text of unknown form");
    }
    const std::uint64_t length = count_of_units(static_cast<std::uint64_t>(width));
    const std::byte* const data = take(length * static_cast<std::uint64_t>(width));
    if (width == PyUnicode_4BYTE_KIND && has_no_character(data, length)) {
        fail_senseless("a character that is none");
    }
    // Also finds the narrowest form.
    PyObject* made = PyUnicode_FromKindAndData(width, data, static_cast<Py_ssize_t>(length));
    if (t == tag::name && made != nullptr) {
        PyUnicode_InternInPlace(&made);
    }
    return require(made);
}

ref reader::again() {
    const auto number = count();
    if (number >= memo_.size()) {
        fail_senseless("a value is referred to before it is there");
    }
    return ref::share(memo_[number]);
}

ref reader::next_share() {
    if (shares_taken_ == from_.shares.size()) {
        fail_senseless("a payload is missing");
    }
    return py::receive(to_, std::move(from_.shares[shares_taken_++]));
}

ref reader::next_attachment() {
    if (attachments_taken_ == from_.attachments.size()) {
        fail_senseless("an attachment is missing");
    }
    return handles().unpack(*from_.attachments[attachments_taken_++]);
}

/// A str, which may have been met before.
ref reader::read_string() {
    const auto depth = frames_.size();
    PyObject* const value = begin();
    if (value == nullptr || frames_.size() != depth || !PyUnicode_CheckExact(value)) {
        Py_XDECREF(value);
        fail_senseless("a name is not a str");
    }
    return ref::steal(value);
}

ref reader::read_global() {
    const ref module = read_string();
    const ref name = read_string();
    const ref clone = require(PyImport_ImportModule("isthmus._clone"));
    return require(PyObject_CallMethod(clone.get(), "find", "OO", module.get(), name.get()));
}

// ---- containers

PyObject* reader::begin_list(bool remember_it) {
    const auto n = count_of_values();
    ref made = require(py::compat::list_with_room(static_cast<Py_ssize_t>(n)));
    if (remember_it) {
        remember(made.get());
    }
    if (n == 0) {
        return made.release();
    }
    frame& f = push(tag::list, false);
    f.left = n;
    f.made = made.release();
    return nullptr;
}

PyObject* reader::begin_set(bool remember_it) {
    const auto n = count_of_values();
    ref made = require(PySet_New(nullptr));
    if (remember_it) {
        remember(made.get());
    }
    if (n == 0) {
        return made.release();
    }
    frame& f = push(tag::set, false);
    f.left = n;
    f.made = made.release();
    return nullptr;
}

PyObject* reader::begin_dict(bool remember_it) {
    const auto n = count_of_values(2);
    ref made = require(PyDict_New());
    if (remember_it) {
        remember(made.get());
    }
    if (n == 0) {
        return made.release();
    }
    frame& f = push(tag::dict, false);
    f.left = n;
    f.made = made.release();
    return nullptr;
}

PyObject* reader::begin_late(tag t, bool remember_it, std::uint64_t n) {
    frame& f = push(t, remember_it);
    f.left = n;
    return n == 0 ? finish_late(f) : nullptr;
}

PyObject* reader::deliver(PyObject* owned) {
    ref part = ref::steal(owned);
    frame& f = frames_.back();
    switch (f.is) {
    case tag::set:
        require(PySet_Add(f.made, part.get()));
        return one_less(f);
    case tag::dict:
        return add_pair(f, std::move(part));
    case tag::instance:
        return add_to_instance(f, std::move(part));
    case tag::reduced:
        return add_to_reduced(f, std::move(part));
    default:
        return add_late(f, std::move(part));
    }
}

PyObject* reader::one_less(frame& f) {
    return --f.left == 0 ? done() : nullptr;
}

PyObject* reader::add_pair(frame& f, ref part) {
    if (f.first == nullptr) {
        f.first = part.release();
        return nullptr;
    }
    const ref key = ref::steal(std::exchange(f.first, nullptr));
    require(PyDict_SetItem(f.attributes != nullptr ? f.attributes : f.made, key.get(), part.get()));
    return one_less(f);
}

PyObject* reader::add_late(frame& f, ref part) {
    put_aside(std::move(part));
    return --f.left == 0 ? finish_late(f) : nullptr;
}

ref reader::take_values(std::size_t base) {
    const std::size_t n = values_.size() - base;
    ref made = require(PyTuple_New(static_cast<Py_ssize_t>(n)));
    for (std::size_t i = 0; i < n; ++i) {
        PyTuple_SET_ITEM(made.get(), static_cast<Py_ssize_t>(i), values_[base + i]);
    }
    values_.resize(base);
    return made;
}

PyObject* reader::finish_late(frame& f) {
    if (f.is == tag::known_tuple || f.is == tag::known_frozenset || f.is == tag::known_slice) {
        drop_values(f.base);
        f.made = again().release();
        return done();
    }
    const ref parts = take_values(f.base);
    const auto at = [&](Py_ssize_t i) { return PyTuple_GET_ITEM(parts.get(), i); };
    if (f.is == tag::tuple) {
        f.made = Py_NewRef(parts.get());
    } else if (f.is == tag::frozenset) {
        f.made = require(PyFrozenSet_New(parts.get())).release();
    } else if (f.is == tag::slice) {
        f.made = require(PySlice_New(at(0), at(1), at(2))).release();
    } else {
        f.made =
            require(PyObject_CallObject(reinterpret_cast<PyObject*>(&PyRange_Type), parts.get())).release();
    }
    if (f.remember) {
        remember(f.made);
    }
    return done();
}

} // namespace isthmus::crossing

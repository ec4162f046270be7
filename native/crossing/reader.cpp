#include "crossing/reader.hpp"

#include "crossing/handles.hpp"
#include "crossing/pickling.hpp"

#include "cpython/compat.hpp"
#include "cpython/twin.hpp"

#include <utility>

namespace isthmus::crossing {

using py::ref;
using py::require;

const std::byte* reader::take(std::size_t size) {
    if (size > from_.data.size() - at_) {
        py::fail(PyExc_SystemError, "isthmus: a message ends before its value does");
    }
    return from_.data.data() + std::exchange(at_, at_ + size);
}

ref reader::read() {
    switch (tag{number<std::uint8_t>()}) {
    case tag::nothing:
        return ref::share(Py_None);
    case tag::yes:
        return ref::share(Py_True);
    case tag::no:
        return ref::share(Py_False);
    case tag::integer:
        return require(PyLong_FromLongLong(number<std::int64_t>()));
    case tag::big:
        return read_big();
    case tag::real:
        return require(PyFloat_FromDouble(number<double>()));
    case tag::octets: {
        const auto size = number<std::uint64_t>();
        const auto* data = reinterpret_cast<const char*>(take(size));
        return require(PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(size)));
    }
    case tag::text:
        return read_text();
    case tag::twin:
        return next_share();
    case tag::tuple:
        return read_tuple();
    case tag::handle:
        return next_handle();
    case tag::pickle:
        return read_pickle();
    }
    py::fail(PyExc_SystemError, "isthmus: a message holds an unknown tag");
}

ref reader::read_big() {
    const auto size = number<std::uint64_t>();
    return require(PyLong_FromNativeBytes(take(size), size, Py_ASNATIVEBYTES_LITTLE_ENDIAN));
}

ref reader::read_text() {
    using py::compat::form;
    const form f{number<std::uint8_t>()};
    const auto length = number<std::uint64_t>();
    const int width = f == form::ucs4   ? PyUnicode_4BYTE_KIND
                      : f == form::ucs2 ? PyUnicode_2BYTE_KIND
                                        : PyUnicode_1BYTE_KIND;
    const std::byte* data = take(length * static_cast<std::size_t>(width));
    return require(PyUnicode_FromKindAndData(width, data, static_cast<Py_ssize_t>(length)));
}

ref reader::read_tuple() {
    const auto count = static_cast<Py_ssize_t>(number<std::uint64_t>());
    ref made = require(PyTuple_New(count));
    const py::recursion_level level(" while receiving a tuple");
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyTuple_SET_ITEM(made.get(), i, read().release());
    }
    return made;
}

ref reader::read_list(std::uint64_t count) {
    ref list = require(PyList_New(0));
    for (std::uint64_t i = 0; i < count; ++i) {
        const ref item = read();
        require(PyList_Append(list.get(), item.get()));
    }
    return list;
}

/// Buffers of a pickle: read-only ones are the twins themselves, writable ones are copied into memory of this
/// interpreter.
ref reader::read_buffers(std::uint64_t count) {
    ref list = require(PyList_New(0));
    for (std::uint64_t i = 0; i < count; ++i) {
        const bool read_only = number<std::uint8_t>() != 0;
        ref item = read();
        if (!read_only) {
            item = require(PyByteArray_FromObject(item.get()));
        }
        require(PyList_Append(list.get(), item.get()));
    }
    return list;
}

ref reader::read_pickle() {
    const auto persistent = number<std::uint64_t>();
    const auto buffers = number<std::uint64_t>();
    const ref data = read();
    const ref persistents = read_list(persistent);
    const ref views = read_buffers(buffers);
    return unpickle(data.get(), persistents.get(), views.get());
}

ref reader::next_share() {
    return py::receive(to_, std::move(from_.shares.at(shares_taken_++)));
}

ref reader::next_handle() {
    return handles().unpack(*from_.attachments.at(attachments_taken_++));
}

} // namespace isthmus::crossing

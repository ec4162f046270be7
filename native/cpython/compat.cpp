#include "cpython/compat.hpp"

#include <atomic>

#include <algorithm>
#include <array>
#include <cstring>

// ob_shash is deprecated for users of the C API because there is no lock around it; twins need it written.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace isthmus::py::compat {

using core::character_size;
using core::data_size;
using core::header_size;

bool register_crossing(PyTypeObject* type, take_apart take) noexcept {
#if PY_VERSION_HEX >= 0x030E0000
    return _PyXIData_RegisterClass != nullptr && _PyXIData_Init != nullptr &&
           _PyXIData_RegisterClass(PyThreadState_Get(), type, {take, nullptr}) == 0;
#else
    return _PyCrossInterpreterData_RegisterClass != nullptr && _PyCrossInterpreterData_Init != nullptr &&
           _PyCrossInterpreterData_RegisterClass(type, take) == 0;
#endif
}

void fill_crossing(void* record, std::uintptr_t value, put_together put) noexcept {
#if PY_VERSION_HEX >= 0x030E0000
    constexpr auto init = &_PyXIData_Init;
#else
    constexpr auto init = &_PyCrossInterpreterData_Init;
#endif
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a value in a pointer's place, never followed
    init(record, PyInterpreterState_Get(), reinterpret_cast<void*>(value), nullptr, put);
}

bool raise_async_exception() noexcept {
    PyObject* const raised = Py_XNewRef(PyThreadState_Get()->async_exc);
    if (raised == nullptr) {
        return false;
    }
    drop_async_exception();
    PyErr_SetNone(raised);
    Py_DECREF(raised);
    return true;
}

PyInterpreterState* look_up(std::int64_t number) noexcept {
    PyObject* const saved = PyErr_GetRaisedException();
    PyInterpreterState* const state = _PyInterpreterState_LookUpID(number);
    PyErr_SetRaisedException(saved);
    return state;
}

bool count_object(PyInterpreterState* state) noexcept {
#if PY_VERSION_HEX < 0x030E0000
    if (_PyInterpreterState_IDIncref(state) != 0) {
        PyErr_Clear();
        return false;
    }
#else
    _PyInterpreterState_IDIncref(state);
#endif
    return true;
}

const char* whence(PyInterpreterState* state) noexcept {
    constexpr std::array words = {"unknown",
                                  "runtime init",
                                  "legacy C-API",
                                  "C-API",
                                  "cross-interpreter C-API",
                                  "_interpreters module"};
    const long known = _PyInterpreterState_GetWhence(state);
    return words[known > 0 && known < static_cast<long>(words.size()) ? static_cast<std::size_t>(known) : 0];
}

form form_of(PyObject* o) noexcept {
    if (PyBytes_CheckExact(o)) {
        return form::bytes;
    }
    if (!PyUnicode_CheckExact(o) || !PyUnicode_IS_COMPACT(o)) {
        return form::none;
    }
    if (PyUnicode_IS_ASCII(o)) {
        return form::ascii;
    }
    switch (PyUnicode_KIND(o)) {
    case PyUnicode_1BYTE_KIND:
        return form::latin1;
    case PyUnicode_2BYTE_KIND:
        return form::ucs2;
    default:
        return form::ucs4;
    }
}

std::size_t block_size_of(PyObject* o, form f) noexcept {
    const Py_ssize_t length = f == form::bytes ? PyBytes_GET_SIZE(o) : PyUnicode_GET_LENGTH(o);
    return header_size(f) + data_size(f, length);
}

void describe_object(PyObject* o, form f, core::slot_record& record) noexcept {
    record.form = static_cast<std::uint8_t>(f);
    if (f == form::bytes) {
        record.length = PyBytes_GET_SIZE(o);
        record.hash = reinterpret_cast<PyBytesObject*>(o)->ob_shash;
    } else {
        record.length = PyUnicode_GET_LENGTH(o);
        record.hash = reinterpret_cast<PyASCIIObject*>(o)->hash;
    }
    std::memcpy(record.head.data(), o, record.head.size());
}

PyObject* make_object(std::byte* place, const core::slot_record& record) noexcept {
    const form f{record.form};
    const std::size_t header = header_size(f);
    std::memset(place, 0, header);
    std::memcpy(place + header, record.head.data() + header, core::header_room - header);
    auto* const o = reinterpret_cast<PyObject*>(place);
    if (f == form::bytes) {
        PyObject_InitVar(reinterpret_cast<PyVarObject*>(o), &PyBytes_Type,
                         static_cast<Py_ssize_t>(record.length));
        reinterpret_cast<PyBytesObject*>(o)->ob_shash = static_cast<Py_hash_t>(record.hash);
        return o;
    }
    PyObject_Init(o, &PyUnicode_Type);
    auto* const text = reinterpret_cast<PyASCIIObject*>(o);
    text->length = static_cast<Py_ssize_t>(record.length);
    text->hash = static_cast<Py_hash_t>(record.hash);
    text->state.kind = static_cast<unsigned char>(character_size(f)) & 7U;
    text->state.compact = 1;
    text->state.ascii = f == form::ascii ? 1 : 0;
    return o;
}

PyObject* copy_object(const core::slot_record& record, const std::byte* payload) noexcept {
    const form f{record.form};
    constexpr Py_UCS4 top_of_kind[] = {0, 0, 0x7f, 0xff, 0xffff, 0x10ffff};
    PyObject* const o = f == form::bytes
                            ? PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(record.length))
                            : PyUnicode_New(static_cast<Py_ssize_t>(record.length), top_of_kind[record.form]);
    if (o == nullptr) {
        return nullptr;
    }
    const std::size_t header = header_size(f);
    const std::size_t size = data_size(f, record.length);
    const std::size_t inlined = std::min(size, core::header_room - header);
    auto* const data = reinterpret_cast<std::byte*>(o) + header;
    std::memcpy(data, record.head.data() + header, inlined);
    std::memcpy(data + inlined, payload, size - inlined);
    return o;
}

namespace {

bool try_list_room() noexcept {
    constexpr Py_ssize_t room = 3;
    PyObject* const list = PyList_New(room);
    if (list == nullptr) {
        PyErr_Clear();
        return false;
    }
    const auto* const inside = reinterpret_cast<PyListObject*>(list);
    bool holds = inside->allocated >= room;
    Py_SET_SIZE(list, 0);
    if (holds) {
        for (Py_ssize_t size = 0; size < room; ++size) {
            PyList_SET_ITEM(list, size, Py_NewRef(Py_None));
            Py_SET_SIZE(list, size + 1);
        }
        holds = PyList_Append(list, Py_True) == 0 && PyList_Size(list) == room + 1 &&
                PyList_GetItem(list, room - 1) == Py_None && PyList_GetItem(list, room) == Py_True;
        PyErr_Clear();
    }
    Py_DECREF(list);
    return holds;
}

} // namespace

bool lists_have_room() noexcept {
    enum class answer : std::uint8_t { unknown, no, yes };
    static constinit std::atomic<answer> known{answer::unknown};
    answer found = known.load(std::memory_order_relaxed);
    if (found == answer::unknown) [[unlikely]] { // twice at once does no harm
        found = try_list_room() ? answer::yes : answer::no;
        known.store(found, std::memory_order_relaxed);
    }
    return found == answer::yes;
}

} // namespace isthmus::py::compat

#include "cpython/selftest.hpp"

#include "cpython/current.hpp"
#include "cpython/twin.hpp"

#include <cstring>

namespace isthmus::py {
namespace {

constexpr const char* held = "";

bool equal(PyObject* a, PyObject* b) noexcept {
    return PyObject_RichCompareBool(a, b, Py_EQ) == 1;
}

/// One object's way: slot, share, twin in `other`, twin dropped, release drained, original alone again.
const char* walk(core::interpreter& here, core::interpreter& other, PyObject* original) {
    const Py_ssize_t references = Py_REFCNT(original);
    core::slot* const s = slot_of(here, original);
    if (s == nullptr) {
        return "a large object does not lie where the allocator hook put it";
    }
    core::share sent = share_out(here, original);
    if (!sent || Py_REFCNT(original) != references + 1) {
        return "a shared object is not kept by its owner";
    }
    ref twin = receive(other, std::move(sent));
    const bool is_twin = slot_of(other, twin.get()) == s && twin.get() != original;
    const bool same = Py_TYPE(twin.get()) == Py_TYPE(original) && equal(twin.get(), original) &&
                      Py_REFCNT(twin.get()) == 1 && PyObject_Hash(twin.get()) == PyObject_Hash(original);
    twin = {};
    const bool released = s->shares() == 0;
    drain(here);
    if (!is_twin || !same) {
        return "the layout of bytes or str is not the one isthmus knows";
    }
    if (!released || Py_REFCNT(original) != references) {
        return "a received object does not give its share back when it dies";
    }
    return held;
}

const char* walk_all(core::interpreter& here, core::interpreter& other) {
    const auto length = static_cast<Py_ssize_t>(twin_threshold()) + 4321;
    constexpr Py_UCS4 letters[] = {0, 'a', 0xe9, 0x20ac, 0x1f600};
    for (const Py_UCS4 letter : letters) {
        const ref original = letter == 0 ? require(PyBytes_FromStringAndSize(nullptr, length))
                                         : require(PyUnicode_New(length, letter));
        if (letter == 0) {
            std::memset(PyBytes_AS_STRING(original.get()), 'b', static_cast<std::size_t>(length));
        } else {
            require(static_cast<int>(PyUnicode_Fill(original.get(), 0, length, letter) >> 62));
        }
        if (const char* broken = walk(here, other, original.get()); *broken != '\0') {
            return broken;
        }
    }
    return held;
}

} // namespace

const char* run_selftest() noexcept {
    core::interpreter* const here = current_interpreter();
    core::window* const second = core::memory().take_window();
    if (here == nullptr || here->view == nullptr || second == nullptr) {
        return "no second window";
    }
    core::interpreter other;
    other.view = second;
#ifndef NDEBUG
    const counts_for both(second->index);
#endif
    const char* result = "out of memory";
    try {
        result = walk_all(*here, other);
    } catch (const python_error&) {
        PyErr_Clear(); // MemoryError is all that the steps can raise, and the answer says so
    } catch (const std::bad_alloc&) {
        // as python_error
    }
    core::memory().owner_gone(*second);
    return result;
}

} // namespace isthmus::py

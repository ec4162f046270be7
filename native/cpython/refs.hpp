/// References as types. Rules:
///
/// - `ref` owns one strong reference and drops it in its destructor: the GIL of the object's interpreter must
/// be held there.
/// - A plain `PyObject*` parameter or local is borrowed. A function that returns `ref` returns a new
/// reference.
/// - `ref::steal` takes over what a C API call returned as new; `ref::share` adds a reference to a borrowed
/// one.
/// - `release()` hands the reference to a C API call that steals it, or returns it to the interpreter.
///
/// One error path: `throw python_error{}` says that a Python exception is set in the current thread state. It
/// is caught once, at the entry point (`guarded` below). `require` turns a null result into it.
#pragma once

#include <Python.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

namespace isthmus::py {

class ref {
  public:
    ref() noexcept = default;
    [[nodiscard]] static ref steal(PyObject* fresh) noexcept { return ref(fresh); }
    [[nodiscard]] static ref share(PyObject* borrowed) noexcept { return ref(Py_XNewRef(borrowed)); }
    ref(ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    ref& operator=(ref&& other) noexcept {
        if (this != &other) {
            Py_XDECREF(std::exchange(object_, std::exchange(other.object_, nullptr)));
        }
        return *this;
    }
    ref(const ref&) = delete;
    ref& operator=(const ref&) = delete;
    ~ref() { Py_XDECREF(object_); }

    [[nodiscard]] PyObject* get() const noexcept { return object_; }
    [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }
    explicit operator bool() const noexcept { return object_ != nullptr; }

  private:
    explicit ref(PyObject* owned) noexcept : object_(owned) {}
    PyObject* object_ = nullptr;
};

/// A Python exception is set in the current thread state.
struct python_error {};

/// A new reference, or throws python_error if the call that returned it failed.
[[nodiscard]] inline ref require(PyObject* fresh) {
    if (fresh == nullptr) {
        throw python_error{};
    }
    return ref::steal(fresh);
}
/// For calls whose result says only whether they failed.
inline void check(PyObject* fresh) {
    static_cast<void>(require(fresh));
}
inline void require(int status) {
    if (status < 0) {
        throw python_error{};
    }
}

/// Null without an error if there is no such attribute. Throws python_error: whatever else was raised.
[[nodiscard]] inline ref optional_attribute(PyObject* o, const char* name) {
    PyObject* found = nullptr;
    require(PyObject_GetOptionalAttrString(o, name, &found));
    return ref::steal(found);
}

/// One level of C recursion, counted by CPython for the scope. Throws python_error (RecursionError).
class recursion_level {
  public:
    explicit recursion_level(const char* where) {
        if (Py_EnterRecursiveCall(where) != 0) { // not negative on all versions
            throw python_error{};
        }
    }
    ~recursion_level() { Py_LeaveRecursiveCall(); }
    recursion_level(const recursion_level&) = delete;
    recursion_level& operator=(const recursion_level&) = delete;
};

/// Sets a Python exception of `type` and throws.
template <typename... Args> [[noreturn]] void fail(PyObject* type, const char* format, Args... args) {
    PyErr_Format(type, format, args...);
    throw python_error{};
}

/// Runs `body` as an entry point called by CPython: C++ exceptions become Python's, `failed` is returned.
/// Everything that is not a std::exception passes: glibc unwinds a thread by such an exception when CPython
/// ends it (H16).
template <typename Result, typename Body> Result guarded(Result failed, Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (const python_error&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_SystemError, error.what());
    }
    return failed;
}

} // namespace isthmus::py

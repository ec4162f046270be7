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
///
/// All native code sees Python.h through this header only: debug builds replace what counts references by
/// versions that first check who counts.
#pragma once

#include <Python.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#ifndef NDEBUG

namespace isthmus::py {

/// Aborts, after a message on stderr, unless the calling thread may count references of `o`: it is attached
/// to an interpreter, and if `o` lies in the arena, then as an original or a twin in that interpreter's
/// window. Other addresses name no owner, neither those of immortal objects nor of small ones. Any thread,
/// any state of its; does not read `o`.
void check_owner(const PyObject* o) noexcept;

/// While one lives, its thread also counts for the owner of `window`. For the start-up self-test alone, which
/// plays a second interpreter. Not nested.
class counts_for {
  public:
    explicit counts_for(unsigned window) noexcept;
    ~counts_for();
    counts_for(const counts_for&) = delete;
    counts_for& operator=(const counts_for&) = delete;
};

// Not noexcept: the last reference may run code that ends the thread (H16).
inline void checked_incref(PyObject* o) {
    check_owner(o);
    Py_INCREF(o);
}
inline void checked_decref(PyObject* o) {
    check_owner(o);
    Py_DECREF(o);
}
inline void checked_xincref(PyObject* o) {
    if (o != nullptr) {
        checked_incref(o);
    }
}
inline void checked_xdecref(PyObject* o) {
    if (o != nullptr) {
        checked_decref(o);
    }
}
[[nodiscard]] inline PyObject* checked_newref(PyObject* o) {
    checked_incref(o);
    return o;
}
[[nodiscard]] inline PyObject* checked_xnewref(PyObject* o) {
    checked_xincref(o);
    return o;
}

} // namespace isthmus::py

// CPython's own are macros too, over functions. Those that contain them (Py_CLEAR, Py_SETREF, Py_XSETREF) are
// expanded where they are used, and so are checked as well.
#undef Py_INCREF
#undef Py_DECREF
#undef Py_XINCREF
#undef Py_XDECREF
#undef Py_NewRef
#undef Py_XNewRef
#define Py_INCREF(o) ::isthmus::py::checked_incref(reinterpret_cast<PyObject*>(o))
#define Py_DECREF(o) ::isthmus::py::checked_decref(reinterpret_cast<PyObject*>(o))
#define Py_XINCREF(o) ::isthmus::py::checked_xincref(reinterpret_cast<PyObject*>(o))
#define Py_XDECREF(o) ::isthmus::py::checked_xdecref(reinterpret_cast<PyObject*>(o))
#define Py_NewRef(o) ::isthmus::py::checked_newref(reinterpret_cast<PyObject*>(o))
#define Py_XNewRef(o) ::isthmus::py::checked_xnewref(reinterpret_cast<PyObject*>(o))

#endif // NDEBUG

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

/// A new reference; null, with no error set, if there is no such attribute. Throws python_error.
[[nodiscard]] inline ref optional_attribute(PyObject* o, const char* name) {
    PyObject* found = nullptr;
    require(PyObject_GetOptionalAttrString(o, name, &found));
    return ref::steal(found);
}

/// Sets a Python exception of `type` and throws.
template <typename... Args> [[noreturn]] void fail(PyObject* type, const char* format, Args... args) {
    PyErr_Format(type, format, args...);
    throw python_error{};
}

/// What `body` returns. Lets what promises python_error alone keep that: std::bad_alloc becomes MemoryError.
template <typename Body> auto with_memory_errors(Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        throw python_error{};
    }
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

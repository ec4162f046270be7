/// The Python object of an interpreter, as its methods see it. Under the GIL of the interpreter it lives in.
#pragma once

#include "module/state.hpp"

#include <utility>

namespace isthmus::module {

/// Keeps an interpreter open that the standard library made, as its own Interpreter objects do. Nothing for
/// all others.
class standard_reference {
  public:
    standard_reference() noexcept = default;
    explicit standard_reference(std::int64_t number) noexcept;
    standard_reference(standard_reference&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    standard_reference& operator=(standard_reference&&) = delete;
    ~standard_reference();

  private:
    std::int64_t number_ = -1;
};

struct interpreter_object {
    PyObject_HEAD;
    PyObject* weak_references;
    std::int64_t number;
    state* module;
    core::interpreter_ref record; ///< null until it is first needed
    const char* whence;           ///< who made the interpreter; known even after it is gone
    bool counted;                 ///< this object keeps the interpreter open
    PyObject* closed;             ///< its ClosedEvent, which does not; null until it is asked for
    standard_reference standard;

    [[nodiscard]] static interpreter_object& of(PyObject* o) noexcept {
        return *reinterpret_cast<interpreter_object*>(o);
    }
};

/// Attaches the runtime to the interpreter if need be. Throws python_error: InterpreterNotFoundError.
[[nodiscard]] core::interpreter_ref& record_of(interpreter_object& self);
/// The record of one that still exists. Throws python_error: InterpreterNotFoundError.
[[nodiscard]] core::interpreter_ref& live_record_of(interpreter_object& self);

} // namespace isthmus::module

/// How an object without a kind of its own crosses. Decided once a type and message.
#pragma once

#include "cpython/refs.hpp"

#include <cstdint>
#include <vector>

namespace isthmus::crossing {

enum class manner : std::uint8_t {
    view,     ///< its buffer
    handle,   ///< see handles.hpp
    instance, ///< class and attributes; no code of the user's runs but a `__new__` over there
    python,   ///< `isthmus._reducers.reduce` knows: functions, classes, exceptions, registered types, ...
    reduce    ///< as pickle does: `copyreg`, `__reduce_ex__`
};

struct plan {
    manner how;
    bool by_c = false; ///< for reduce: no code of the user's says what the object is made of
};

/// The plans of one message. Under one interpreter's GIL.
class plans {
  public:
    plans() noexcept = default;
    plans(const plans&) = delete;
    plans& operator=(const plans&) = delete;
    ~plans();

    /// Throws python_error.
    [[nodiscard]] plan of(PyObject* o);

    /// What the object is made of: a tuple as `__reduce_ex__` returns it, or a str: the name of a global.
    /// Throws python_error: whatever was raised.
    [[nodiscard]] py::ref reduce(PyObject* o, manner how);

    /// Whether a reduction by `callable` is a call of `__new__` of its first argument (copyreg.__newobj__).
    [[nodiscard]] bool calls_new(PyObject* callable);

    /// The name under which the other side can import `o`: module and qualified name, both str. Throws
    /// python_error (NotShareableError if there is none). `name`: what `__reduce__` said, or null.
    struct location {
        py::ref module;
        py::ref name;
    };
    [[nodiscard]] location locate(PyObject* o, PyObject* name);

    /// The exception to raise instead of `raised`, which came from looking at `offender`: NotShareableError
    /// with the path to it, or `raised` itself. `steps`: list of (what, container, key). Throws python_error.
    [[nodiscard]] py::ref blame(PyObject* steps, PyObject* offender, PyObject* raised);

  private:
    struct known {
        PyTypeObject* type; ///< owned
        plan what;
    };
    [[nodiscard]] plan decide(PyObject* o);
    [[nodiscard]] PyObject* reducers();

    std::vector<known> known_;
    py::ref reduce_name_, protocol_; ///< for calls of `__reduce_ex__`
    py::ref new_;                    ///< copyreg.__newobj__
    py::ref reducers_;               ///< isthmus._reducers
    py::ref identities_;             ///< dict for its `reduce`, one a message
};

} // namespace isthmus::crossing

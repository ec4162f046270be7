/// Structured clone, second half: makes the value of a parcel, without recursion.
///
/// The parcel was written in this process, so its data is trusted to mean no harm; but every count, number
/// and type is checked against what is there, so that a fault elsewhere shows as an error and not as a wild
/// read. Code of the user's (`__setstate__`, `__hash__`, finalisers) sees only objects that are whole, or
/// containers that are not full yet.
#pragma once

#include "crossing/kinds.hpp"

#include "cpython/compat.hpp"
#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

#include <cstring>
#include <type_traits>
#include <vector>

namespace isthmus::crossing {

class reader {
  public:
    /// Current interpreter: `to`, under its GIL.
    reader(core::interpreter& to, core::parcel& from) noexcept : to_(to), from_(from) {}
    reader(const reader&) = delete;
    reader& operator=(const reader&) = delete;
    ~reader();

    /// Once. Throws python_error: SystemError if the data makes no sense, else what code of the user's
    /// raised; std::bad_alloc.
    [[nodiscard]] py::ref read();

  private:
    enum class step : std::uint8_t { callable, arguments, items, pairs, setter, state };
    /// A value whose parts are being read. References are owned; so are those in `values_` from `base` on.
    struct frame {
        tag is;
        bool remember = false;
        std::uint8_t parts = 0;
        step now = step::callable;
        PyObject* made = nullptr;       ///< the value, as far as it is
        PyObject* first = nullptr;      ///< a key, a callable, a setter
        PyObject* attributes = nullptr; ///< an instance's dict
        std::uint64_t left = 0;         ///< parts to come
        std::size_t base = 0;           ///< in values_
    };

    /// The next value, or null: it has parts, and a frame was pushed.
    PyObject* begin();
    PyObject* begin_late(tag t, bool remember, std::uint64_t count);
    PyObject* begin_list(bool remember);
    PyObject* begin_set(bool remember);
    PyObject* begin_dict(bool remember);
    frame& push(tag t, bool remember);

    /// Gives the top frame its next part; takes over the reference. The frame's value if that was its last
    /// part, else null.
    PyObject* deliver(PyObject* part);
    /// deliver(), for the commonest frame.
    PyObject* add_to_list(frame& f, PyObject* owned) {
        py::require(py::compat::append(f.made, owned) ? 0 : -1);
        return --f.left == 0 ? done() : nullptr;
    }
    PyObject* add_late(frame& f, py::ref part);
    PyObject* finish_late(frame& f);
    PyObject* add_pair(frame& f, py::ref part);
    PyObject* one_less(frame& f);
    PyObject* done();

    PyObject* add_to_instance(frame& f, py::ref part);
    PyObject* add_to_reduced(frame& f, py::ref part);
    PyObject* make(frame& f, py::ref arguments);
    PyObject* go_on(frame& f, step from);
    PyObject* stop();
    PyObject* known();
    void fill(frame& f);
    void set_state(frame& f, py::ref state);

    template <typename Number> Number number() {
        static_assert(std::is_arithmetic_v<Number>);
        Number n{};
        std::memcpy(&n, take(sizeof n), sizeof n);
        return n;
    }
    [[nodiscard]] const std::byte* take(std::uint64_t size) {
        if (size > from_.data.size() - at_) [[unlikely]] {
            fail_short();
        }
        const std::byte* const place = from_.data.data() + at_;
        at_ += size;
        return place;
    }
    [[nodiscard]] std::uint64_t count() {
        const auto small = number<std::uint8_t>();
        return small != 255 ? small : number<std::uint64_t>();
    }
    /// A count of what takes `each` bytes, which are there.
    [[nodiscard]] std::uint64_t count_of_units(std::uint64_t each);
    /// A count of values, or of `each` values. Every value takes a byte at least, and has its place in one
    /// container only: all containers together have room for no more than there are bytes.
    [[nodiscard]] std::uint64_t count_of_values(std::uint64_t each = 1);
    [[noreturn]] static void fail_short();
    [[noreturn]] static void fail_senseless(const char* what);
    py::ref read_big();
    py::ref read_text(tag t);
    py::ref read_global();
    py::ref next_share();
    py::ref next_attachment();
    py::ref again();
    py::ref read_string();
    [[nodiscard]] py::ref take_values(std::size_t base);
    void drop_values(std::size_t base) noexcept;
    void put_aside(py::ref part);
    void remember(PyObject* o) {
        memo_.push_back(o);
        Py_INCREF(o); // after what may throw
    }

    core::interpreter& to_;
    core::parcel& from_;
    std::size_t at_ = 0;
    std::uint64_t claimed_ = 0; ///< places in containers
    std::size_t shares_taken_ = 0;
    std::size_t attachments_taken_ = 0;
    py::ref setstate_name_;
    std::vector<frame> frames_;
    std::vector<PyObject*> values_; ///< parts of values that are made once all are there; owned
    std::vector<PyObject*> memo_;   ///< by number; owned
};

} // namespace isthmus::crossing

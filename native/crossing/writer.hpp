/// Structured clone, first half: writes one value into a parcel, in one pass over the graph of objects,
/// without recursion.
///
/// Containers and objects are frames on a stack of the writer's own; everything that has no parts is written
/// at once. An object that only its container refers to can't be met again, so it is not remembered, unless
/// code of the user's (`__reduce__`, `__getstate__`, ...) takes part, which may hand out what it was found in
/// before: then the writer starts over and remembers everything (`careful`).
#pragma once

#include "crossing/kinds.hpp"
#include "crossing/memo.hpp"
#include "crossing/plans.hpp"

#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

namespace isthmus::crossing {

class writer {
  public:
    /// Current interpreter: `from`, under its GIL. `placing`: large payloads that lie in no slot yet are
    /// written as a copy that does.
    writer(core::interpreter& from, core::parcel& into, bool placing = false) noexcept
        : from_(from), into_(into), placing_(placing) {}
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;
    ~writer();

    /// Once. Throws python_error: NotShareableError with the path to what can't cross, RuntimeError if a
    /// container changes size meanwhile, else what code of the user's raised; std::bad_alloc. The parcel is
    /// then partly written and of no use.
    void write(PyObject* root);

  private:
    enum class shape : std::uint8_t { sequence, list, dict, instance, reduced };
    enum class stage : std::uint8_t { callable, arguments, made, items, pairs, setter, state, end };
    /// A value whose parts are being written. References are owned.
    struct frame {
        shape is;
        bool remember = false; ///< it gets a number once it is whole, or made
        bool late = false;     ///< its parts come before it
        std::uint8_t parts = 0;
        stage now = stage::callable;
        std::size_t header = 0; ///< where its tag is
        PyObject* object = nullptr;
        PyObject* inside = nullptr; ///< tuple of the parts; dict of attributes; what `__reduce_ex__` returned
        PyObject* pending = nullptr; ///< the value whose key was written, the arguments
        PyObject* iterator = nullptr;
        PyObject* key = nullptr; ///< for errors: of the value that is being written
        Py_ssize_t at = 0;
        Py_ssize_t count = 0;

        void remember_key(PyObject* k) noexcept { Py_XSETREF(key, Py_NewRef(k)); }
    };
    /// A way through a dict.
    struct pairs {
        PyObject* dict;
        Py_ssize_t left;
        Py_ssize_t at = 0;     ///< as PyDict_Next has it
        Py_ssize_t before = 0; ///< where `key` was found
        PyObject* key = nullptr;
        PyObject* value = nullptr;
    };
    enum class met : std::uint8_t { end, key, value };
    struct be_careful {};

    /// In the memo instead of a number: the value is being written, for the first time, or once more inside
    /// itself, and so on downwards. Values that need one another in turn are opened once for each of them, as
    /// in pickle; what needs itself would never end, which the last of these stops.
    static constexpr std::uint32_t open_once = 0xFFFF'FFFF;
    static constexpr std::uint32_t open_too_often = open_once - 1000;
    static constexpr bool is_number(std::uint32_t known) noexcept { return known < open_too_often; }

    void write_whole(PyObject* root);
    void start_over();
    [[nodiscard]] bool may_recur(PyObject* o, Py_ssize_t ours);
    bool put_again(PyObject* o);
    void number(PyObject* o);
    std::uint32_t next_number();

    /// True: written. False: it has parts, or needs a plan. `ours`: references on it that are the writer's.
    bool put_leaf(PyObject* o, Py_ssize_t ours = 0);
    void put_payload(PyObject* o, Py_ssize_t ours, bool is_name = false);
    void put_integer(PyObject* o);
    void put_characters(PyObject* o, bool remember, bool is_name);
    core::share share_of(PyObject* o);

    /// Writes it, or its beginning and pushes a frame.
    void open(PyObject* o, Py_ssize_t ours = 0);
    void open_sequence(PyObject* o, tag t, py::ref parts, Py_ssize_t ours);
    void open_list(PyObject* o, Py_ssize_t ours);
    void open_dict(PyObject* o, Py_ssize_t ours);
    void open_set(PyObject* o, Py_ssize_t ours);
    void open_tuple(PyObject* o, Py_ssize_t ours);
    void open_bytearray(PyObject* o, Py_ssize_t ours);
    bool open_scalar(PyObject* o, Py_ssize_t ours);
    void open_attachment(PyObject* o, std::unique_ptr<core::attachment> travelling, Py_ssize_t ours);
    void open_object(PyObject* o, Py_ssize_t ours);
    void open_view(PyObject* o, Py_ssize_t ours);
    void open_instance(PyObject* o, Py_ssize_t ours);
    void open_reduced(PyObject* o, py::ref reduced, Py_ssize_t ours);
    void put_global(PyObject* o, PyObject* name, Py_ssize_t ours);
    bool begin_late(PyObject* o, Py_ssize_t ours);
    [[noreturn]] void fail_endless(PyObject* o);
    frame& push(shape is, PyObject* object, std::size_t header);
    void pop();

    /// Goes on with the top frame, until it is done or another one is pushed.
    void advance();
    void advance_sequence(frame& f);
    void advance_list(frame& f);
    void advance_dict(frame& f);
    void advance_instance(frame& f);
    met put_pairs(pairs& of, bool names);
    void advance_reduced(frame& f);
    bool advance_items(frame& f);
    bool advance_pairs(frame& f);
    bool put_part(PyObject* o, Py_ssize_t ours = 0);
    void close_sequence(const frame& f);
    bool put_made(frame& f);
    py::ref next_of(frame& f, Py_ssize_t which);

    /// The error that is set becomes a NotShareableError with path and type, if it is of that sort.
    void explain();
    [[nodiscard]] py::ref step_of(const frame& f) const;

    void put(tag t) { put_number(static_cast<std::uint8_t>(t)); }
    void put(tag t, bool remember) {
        put_number(static_cast<std::uint8_t>(static_cast<std::uint8_t>(t) | (remember ? remembered : 0)));
    }
    template <typename Number> void put_number(Number n) {
        static_assert(std::is_arithmetic_v<Number>);
        std::memcpy(into_.data.extend(sizeof n), &n, sizeof n);
    }
    template <typename Number> void put_with(tag t, Number n) {
        std::byte* const place = into_.data.extend(1 + sizeof n);
        *place = static_cast<std::byte>(t);
        std::memcpy(place + 1, &n, sizeof n);
    }
    void put_count(std::size_t n) {
        constexpr std::size_t escape = 255;
        if (n < escape) {
            put_number(static_cast<std::uint8_t>(n));
        } else {
            put_number(static_cast<std::uint8_t>(escape));
            put_number(static_cast<std::uint64_t>(n));
        }
    }

    core::interpreter& from_;
    core::parcel& into_;
    std::vector<frame> frames_;
    memo memo_;
    plans plans_;
    std::uint32_t next_number_ = 0;
    bool placing_;
    bool careful_ = false;
    bool skipped_ = false; ///< something was not remembered that code of the user's could hand out
    py::ref blamed_;       ///< what is being looked at, for errors
};

} // namespace isthmus::crossing

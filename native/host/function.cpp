/// Scopes inside an interpreter, and functions that are called there.
#include "host/answers.hpp"
#include "host/inside.hpp"
#include "host/interpreter_state.hpp"
#include "host/objects.hpp"

#include "module/naming.hpp"

#include <array>
#include <vector>

namespace isthmus {

struct entered::inside {
    explicit inside(const core::interpreter_ref& record) : scope(record) {}
    host::inside scope;
};

entered::entered(interpreter& in)
    : inside_(in.state_ != nullptr ? std::make_unique<inside>(in.state_->record)
                                   : throw interpreter_error("this isthmus::interpreter was moved from")) {}
entered::~entered() = default;

namespace detail {

struct function_state {
    function_state(core::interpreter_ref of, py::ref what) noexcept
        : record(std::move(of)), callable(std::move(what)) {}
    function_state(const function_state&) = delete;
    function_state& operator=(const function_state&) = delete;
    ~function_state();

    const core::interpreter_ref record;
    py::ref callable;
};

function_state::~function_state() {
    try {
        const host::inside scope(record);
        callable = {};
    } catch (const error&) {
        static_cast<void>(callable.release()); // its interpreter is gone, or goes, and it with that
    } catch (const std::bad_alloc&) {
        static_cast<void>(callable.release()); // kept until its interpreter ends
    }
}

} // namespace detail

function interpreter::function(std::string_view name) {
    if (state_ == nullptr) {
        throw interpreter_error("this isthmus::interpreter was moved from");
    }
    const core::interpreter_ref& record = state_->record;
    const host::inside scope(record);
    return host::translating(*record, [&] {
        const py::ref main = py::require(PyImport_AddModuleRef("__main__"));
        py::ref found = module::find_callable(*record, std::string(name), PyModule_GetDict(main.get()));
        if (PyCallable_Check(found.get()) == 0) {
            py::fail(PyExc_TypeError, "'%s' object is not callable", Py_TYPE(found.get())->tp_name);
        }
        return isthmus::function(std::make_unique<detail::function_state>(record, std::move(found)));
    });
}

function::function(std::unique_ptr<detail::function_state> state) noexcept : state_(std::move(state)) {}
function::function(function&&) noexcept = default;
function& function::operator=(function&&) noexcept = default;
function::~function() = default;

namespace {

constexpr std::size_t on_stack = 8;

/// Objects that were made for a call.
class objects {
  public:
    explicit objects(PyObject** room) noexcept : items_(room) {}
    ~objects() {
        while (count_ != 0) {
            Py_DECREF(items_[--count_]);
        }
    }
    objects(const objects&) = delete;
    objects& operator=(const objects&) = delete;

    void push(py::ref made) noexcept { items_[count_++] = made.release(); }

  private:
    PyObject** items_;
    std::size_t count_ = 0;
};

[[noreturn]] void refuse() {
    throw interpreter_error("a function is called inside an isthmus::entered scope of its interpreter");
}

/// `room`: for all arguments, and before them a place for the callee's use. Inline: a frame more is a tenth
/// of a short call.
template <typename Argument>
[[gnu::always_inline]] inline detail::scalar call_with_room(detail::function_state& state, PyObject** room,
                                                            const Argument* given, std::size_t count,
                                                            std::optional<value>& other) {
    core::interpreter& here = *state.record;
    try {
        objects made(room + 1);
        for (std::size_t i = 0; i < count; ++i) {
            made.push(host::to_object(here, given[i]));
        }
        const py::ref result = py::require(PyObject_Vectorcall(
            state.callable.get(), room + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
        return host::from_object(here, result.get(), other);
    } catch (const py::python_error&) {
    }
    throw host::taken_error(here);
}

template <typename Argument>
[[gnu::noinline]] detail::scalar call_with_many(detail::function_state& state, const Argument* given,
                                                std::size_t count, std::optional<value>& other) {
    std::vector<PyObject*> room(count + 1);
    return call_with_room(state, room.data(), given, count, other);
}

template <typename Argument>
detail::scalar call_here(detail::function_state* state, const Argument* given, std::size_t count,
                         std::optional<value>& other) {
    if (state == nullptr || !host::inside::now(*state->record)) {
        refuse();
    }
    if (count > on_stack) [[unlikely]] {
        return call_with_many(*state, given, count, other);
    }
    std::array<PyObject*, on_stack + 1> room; // NOLINT(cppcoreguidelines-pro-type-member-init): filled next
    return call_with_room(*state, room.data(), given, count, other);
}

} // namespace

detail::scalar function::call(const detail::argument* given, std::size_t count, std::optional<value>& other) {
    return call_here(state_.get(), given, count, other);
}

value function::invoke(std::span<const value> arguments) {
    std::optional<value> other;
    const detail::scalar result = call_here(state_.get(), arguments.data(), arguments.size(), other);
    return detail::whole(result, other);
}

} // namespace isthmus

/// Scopes inside an interpreter, and functions that are called there.
#include "host/answers.hpp"
#include "host/inside.hpp"
#include "host/interpreter_state.hpp"
#include "host/objects.hpp"

#include "module/naming.hpp"

#include "cpython/current.hpp"

#include <array>

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
        py::ref found = module::find_callable(std::string(name), PyModule_GetDict(main.get()));
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

/// The objects of a call's arguments; the first place is for the callee's use.
class vector_of_objects {
  public:
    vector_of_objects(core::interpreter& here, std::span<const value> from) {
        if (from.size() > on_stack) {
            more_.resize(from.size() + 1);
            items_ = more_.data();
        }
        for (const value& each : from) {
            items_[count_ + 1] = host::to_object(here, each).release();
            ++count_;
        }
    }
    ~vector_of_objects() {
        for (std::size_t i = 1; i <= count_; ++i) {
            Py_DECREF(items_[i]);
        }
    }
    vector_of_objects(const vector_of_objects&) = delete;
    vector_of_objects& operator=(const vector_of_objects&) = delete;

    [[nodiscard]] PyObject* const* data() const noexcept { return items_ + 1; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

  private:
    std::array<PyObject*, on_stack + 1> few_;
    std::vector<PyObject*> more_;
    PyObject** items_ = few_.data();
    std::size_t count_ = 0;
};

} // namespace

value function::invoke(std::span<const value> arguments) {
    core::interpreter* const here = py::current_interpreter();
    if (state_ == nullptr || here != state_->record.get()) {
        throw interpreter_error("a function is called inside an isthmus::entered scope of its interpreter");
    }
    try {
        const vector_of_objects given(*here, arguments);
        const py::ref result = py::require(PyObject_Vectorcall(
            state_->callable.get(), given.data(), given.size() | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
        return host::from_object(*here, result.get());
    } catch (const py::python_error&) {
    }
    throw host::taken_error(*here);
}

} // namespace isthmus

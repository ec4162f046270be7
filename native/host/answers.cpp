#include "host/answers.hpp"

#include "cxx/codec.hpp"

namespace isthmus {

python_error::python_error(std::string type, std::string message, std::string traceback)
    : error(message.empty() ? type : type + ": " + message), type_(std::move(type)),
      message_(std::move(message)), traceback_(std::move(traceback)) {}

python_error::~python_error() = default;

namespace host {
namespace {

/// What isthmus._remote.capture makes: (name, qualname, module, text, line, traceback, ...) for each
/// exception, the one that was raised first.
python_error described(const value& captured) {
    const value& node = captured[0];
    const auto qualname = node[1].as<std::string>();
    const auto module = node[2].as<std::string>();
    const bool plain = module.empty() || module == "builtins" || module == "__main__";
    return {plain ? qualname : module + "." + qualname, node[3].as<std::string>(), node[5].as<std::string>()};
}

} // namespace

value open_answer(const core::interpreter& of, module::answer given) {
    const std::string name = "interpreter " + std::to_string(of.number);
    switch (given.how) {
    case module::ended::well:
        return detail::decode(std::move(given.told));
    case module::ended::was_running:
        throw interpreter_error(name + " is already running");
    case module::ended::with_exception:
        throw described(detail::decode(std::move(given.told)));
    case module::ended::given_can_not_cross:
    case module::ended::result_can_not_cross: {
        const char* const which = given.how == module::ended::given_can_not_cross ? "argument: " : "result: ";
        throw not_shareable_error(which + detail::decode(std::move(given.told)).as<std::string>());
    }
    case module::ended::undescribed:
        break;
    }
    throw interpreter_error(name + " raised an exception that could not be described");
}

python_error taken_error(core::interpreter& here) {
    const py::ref exception = py::ref::steal(PyErr_GetRaisedException());
    try {
        return described(detail::decode(module::take_down(here, exception.get())));
    } catch (const py::python_error&) {
        PyErr_Clear(); // then it is told by its class
        return {Py_TYPE(exception.get())->tp_name, "", ""};
    }
}

} // namespace host
} // namespace isthmus

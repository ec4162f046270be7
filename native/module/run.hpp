/// Work in another interpreter's `__main__` on the calling thread, in two steps: it is encoded in the
/// caller's interpreter, where everything that can't cross is refused; later, by the same or another thread
/// of that interpreter, it is done.
#pragma once

#include "module/state.hpp"

#include "core/message.hpp"

#include <optional>
#include <string>
#include <vector>

namespace isthmus::module {

struct job {
    struct named_message {
        std::string name;
        core::message value;
    };

    enum class text : std::uint8_t {
        statements,
        expression, ///< its value is the result
        file        ///< statements as they lie in a file: may say how they are encoded
    };
    /// A callable that is looked up where the job is done: "f" in `__main__` and the builtins,
    /// "package.module.f", "package.module:C.f".
    struct named_call {
        std::string name;
        std::vector<core::message> positional;
        std::vector<named_message> keywords;
    };

    std::vector<named_message> names;  ///< set in `__main__` before anything runs
    std::optional<std::string> source; ///< then run this text
    text is = text::statements;
    std::string filename = "<string>"; ///< of the text, for tracebacks
    std::optional<named_call> named;   ///< or call this
    core::message code;                ///< or this marshalled code object
    core::message call;                ///< or call: a tuple of callable, arguments, keywords or None
    bool reset = false;                ///< or clear `__main__`
    /// Builtin exceptions arrive as themselves (PEP 554), else always ExecutionFailed (PEP 734).
    bool as_itself = false;
};

/// All of these throw python_error: NotShareableError, TypeError, ValueError. `names`: a dict, or null.
[[nodiscard]] job setting_names(state& s, PyObject* names);
[[nodiscard]] job running_source(state& s, PyObject* source, PyObject* names, const char* function);
/// What `exec` takes: source text, a code object, or a function that could be a script.
[[nodiscard]] job running_script(state& s, PyObject* code);
[[nodiscard]] job calling(state& s, PyObject* function, PyObject* args, PyObject* keywords);

/// How a job went; what there is to tell is a message: the result, an exception taken down, or the text of a
/// NotShareableError.
enum class ended : std::uint8_t {
    well,
    with_exception,
    was_running,
    given_can_not_cross,
    result_can_not_cross,
    undescribed ///< not even a description of the failure could be made
};
struct answer {
    ended how = ended::undescribed;
    core::message told;
    bool keyboard_interrupt = false;            ///< the exception was one
    core::current_run::ending keyboard_ended{}; ///< whether it was Ctrl-C's
};

/// Does a job in the current interpreter, on a thread of a host's. In its `__main__`, unless code runs there
/// already and `beside` allows that: then nobody can interrupt it. No error is set afterwards.
[[nodiscard]] answer carry_out_for_host(core::interpreter& here, job& work, bool beside);

/// Does a posted call in the current interpreter. Unless the answer is `wanted` it is empty, and an exception
/// is reported as unraisable. No error is set afterwards.
[[nodiscard]] answer carry_out(core::interpreter& here, job& work, bool wanted);
/// Whether it is isthmus's NotShareableError. No error may be set.
[[nodiscard]] bool is_not_shareable(PyObject* exception);
/// An exception as an answer tells of it: isthmus._remote.capture. Throws python_error.
[[nodiscard]] core::message take_down(core::interpreter& here, PyObject* exception);
/// In the caller's interpreter: what interpreter `number` answered. Throws as run_job.
[[nodiscard]] py::ref open_answer(state& s, std::int64_t number, answer given, bool as_itself);

/// What a call returned; None for everything else. Throws python_error: what the job raised,
/// InterpreterError (closed, running, current), NotShareableError (what a call returned).
py::ref run_job(state& s, const core::interpreter_ref& target, job work);

} // namespace isthmus::module

#include "module/run.hpp"

#include "module/naming.hpp"

#include "crossing/crossing.hpp"

#include "cpython/interruption.hpp"
#include "cpython/kept_names.hpp"
#include "cpython/keyboard.hpp"
#include "cpython/lifecycle.hpp"
#include "cpython/streams.hpp"
#include "cpython/twin.hpp"

#include <algorithm>
#include <array>
#include <marshal.h>
#include <string_view>

namespace isthmus::module {
namespace {

using py::ref;
using py::require;

/// Marks the interpreter as running its `__main__` for the scope, as the standard library does.
class running_main {
  public:
    explicit running_main(core::interpreter& record) : record_(record) {
        ok_ = py::compat::set_running_main(static_cast<PyInterpreterState*>(record.state));
        if (ok_) {
            record_.current.begin(PyThread_get_thread_ident());
        }
    }
    ~running_main() {
        if (ok_) {
            record_.current.end();
            py::compat::set_not_running_main(static_cast<PyInterpreterState*>(record_.state));
        }
    }
    running_main(const running_main&) = delete;
    running_main& operator=(const running_main&) = delete;
    [[nodiscard]] bool ok() const noexcept { return ok_; }

  private:
    core::interpreter& record_;
    bool ok_ = false;
};

/// In the interpreter that failed. Without `isthmus` on its path there is still a name and a text.
ref capture(PyObject* exception) {
    const ref module = ref::steal(PyImport_ImportModule("isthmus._remote"));
    ref taken = module ? ref::steal(PyObject_CallMethod(module.get(), "capture", "O", exception)) : ref{};
    if (taken) {
        return taken;
    }
    PyErr_Clear(); // what is told is the failure of the run
    ref text = ref::steal(PyObject_Str(exception));
    if (!text) {
        PyErr_Clear(); // likewise, and it has no text
        text = require(PyUnicode_FromString(""));
    }
    const char* name = Py_TYPE(exception)->tp_name;
    return require(
        Py_BuildValue("((sssOssOiiO()))", name, name, "", text.get(), name, "", Py_None, -1, -1, Py_False));
}

/// As CPython leaves `__main__` in a new interpreter.
void fill_main(PyObject* main) {
    const ref importlib = require(PyImport_ImportModule("_frozen_importlib"));
    const ref loader = require(PyObject_GetAttrString(importlib.get(), "BuiltinImporter"));
    const ref builtins = require(PyImport_ImportModule("builtins"));
    const ref fresh = require(Py_BuildValue("{sssOsOsOsOsO}", "__name__", "__main__", "__doc__", Py_None,
                                            "__package__", Py_None, "__loader__", loader.get(), "__spec__",
                                            Py_None, "__builtins__", builtins.get()));
    if (py::compat::main_has_annotations) {
        const ref empty = require(PyDict_New());
        require(PyDict_SetItemString(fresh.get(), "__annotations__", empty.get()));
    }
    require(PyDict_Update(main, fresh.get()));
}

/// Newest first, so that a finalizer finds what was there before its object. What finalizers leave behind
/// goes unseen by any.
void reset_main(PyObject* main) {
    for (Py_ssize_t left = PyDict_GET_SIZE(main); left > 0 && PyDict_GET_SIZE(main) > 0; --left) {
        py::check(PyObject_CallMethod(main, "popitem", nullptr));
    }
    PyDict_Clear(main);
    fill_main(main);
    PyGC_Collect(); // what circles held is gone too
}

/// What runs, if it is no text: marshalled code, or a call.
struct decoded_job {
    ref code;
    decoded_call call;
};

decoded_call parts_of(const ref& triple) {
    const auto part = [&](Py_ssize_t at) { return ref::share(PyTuple_GET_ITEM(triple.get(), at)); };
    return {part(0), part(1), part(2)};
}

/// Everything that must cross for the job: nothing has run when it throws.
decoded_job decode_all(core::interpreter& target, job& work, PyObject* main) {
    const ref names = work.names.empty() ? ref{} : require(PyDict_New());
    for (job::named_message& each : work.names) {
        const ref value = crossing::decode(target, std::move(each.value));
        const ref name =
            require(PyUnicode_FromStringAndSize(each.name.data(), static_cast<Py_ssize_t>(each.name.size())));
        require(PyDict_SetItem(names.get(), name.get(), value.get()));
    }
    decoded_job given;
    if (work.named) {
        given.call = decode_named(target, *work.named, main);
    } else if (!work.call.empty()) {
        given.call = parts_of(crossing::decode(target, std::move(work.call)));
    } else if (!work.code.empty()) {
        given.code = crossing::decode(target, std::move(work.code));
    }
    if (names) {
        require(PyDict_Update(main, names.get()));
    }
    return given;
}

bool asks_for_its_caller(PyObject* callable) noexcept {
    constexpr std::array<std::string_view, 6> names = {"eval", "exec", "globals", "locals", "dir", "vars"};
    return PyCFunction_Check(callable) && PyCFunction_GET_SELF(callable) != nullptr &&
           PyModule_Check(PyCFunction_GET_SELF(callable)) &&
           std::ranges::find(names, reinterpret_cast<PyCFunctionObject*>(callable)->m_ml->ml_name) !=
               names.end();
}

ref call(PyObject* callable, PyObject* args, PyObject* keywords) {
    PyObject* const named = keywords != Py_None ? keywords : nullptr;
    // Later versions take the globals of `__main__` for them, but only while it is said to run: a posted call
    // does not say so.
    const bool without_frame =
        py::compat::builtins_want_a_frame || !py::compat::is_running_main(PyInterpreterState_Get());
    if (!without_frame || !asks_for_its_caller(callable)) {
        return require(PyObject_Call(callable, args, named));
    }
    const ref functions = require(PyImport_ImportModule("isthmus._functions"));
    return require(PyObject_CallMethod(functions.get(), "call_from_main", "OOO", callable, args, keywords));
}

/// What the job returns. `given`: what was decoded.
ref perform(const job& work, const decoded_job& given, PyObject* main) {
    if (work.reset) {
        reset_main(main);
        return ref::share(Py_None);
    }
    if (work.source) {
        // Text that was decoded already: an encoding declared in its first lines says nothing about it.
        const int decoded = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE;
        PyCompilerFlags flags = {work.is == job::text::file ? 0 : decoded, PY_MINOR_VERSION};
        const ref code = require(
            Py_CompileStringFlags(work.source->c_str(), work.filename.c_str(),
                                  work.is == job::text::expression ? Py_eval_input : Py_file_input, &flags));
        return require(PyEval_EvalCode(code.get(), main, main));
    }
    if (given.call.callable) {
        return call(given.call.callable.get(), given.call.arguments.get(), given.call.keywords.get());
    }
    if (!given.code) {
        return ref::share(Py_None);
    }
    const ref code = require(PyMarshal_ReadObjectFromString(PyBytes_AS_STRING(given.code.get()),
                                                            PyBytes_GET_SIZE(given.code.get())));
    return require(PyEval_EvalCode(code.get(), main, main));
}

/// Nobody is there to be told: the exception that is set goes where those of callbacks go.
void report(const core::interpreter& here) {
    if (here.stopping.load() && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0) {
        PyErr_Clear(); // it was made to end
    } else {
        PyErr_FormatUnraisable("Exception ignored in a posted call");
    }
    py::flush_streams();
}

/// As what others interrupt a job, and whether anybody wants to know how it went.
struct circumstances {
    core::current_run* as; ///< null: others can't
    core::current_run::number number;
    bool wanted = true;
};

/// All that is code of the user's. What others raise in it is raised here.
ref decode_and_perform(core::interpreter& target, job& work, const circumstances& about, answer& made,
                       ended& stage) {
    const ref module = py::main_module(target);
    PyObject* const main = PyModule_GetDict(module.get());
    decoded_job given;
    std::optional<py::interruptible> scope;
    if (about.as != nullptr) {
        scope.emplace(target, *about.as, about.number, made.keyboard_ended);
    }
    given = decode_all(target, work, main);
    stage = ended::with_exception;
    ref result = perform(work, given, main);
    if (scope) {
        scope->finish();
    }
    return result;
}

/// What `attempt` does, but for exceptions that can't be described: python_error.
ended work_inside(core::interpreter& target, job& work, const circumstances& about, answer& made) {
    py::drain(target);
    const bool wanted = about.wanted;
    core::message& told = made.told;
    ended stage = ended::given_can_not_cross;
    try {
        const ref result = decode_and_perform(target, work, about, made, stage);
        stage = ended::result_can_not_cross;
        if (wanted) {
            told = crossing::encode(target, result.get());
        }
        py::flush_streams();
        return ended::well;
    } catch (const py::python_error&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    if (!wanted) {
        report(target);
        return ended::with_exception;
    }
    const ref exception = ref::steal(PyErr_GetRaisedException());
    made.keyboard_interrupt = PyErr_GivenExceptionMatches(exception.get(), PyExc_KeyboardInterrupt) != 0;
    py::flush_streams();
    if (stage != ended::with_exception && is_not_shareable(exception.get())) {
        told = crossing::encode(target, require(PyObject_Str(exception.get())).get());
        return stage;
    }
    told = crossing::encode(target, capture(exception.get()).get());
    return ended::with_exception;
}

[[noreturn]] void raise_failure(state& s, core::message failure, bool as_itself) {
    const ref captured = crossing::decode(*s.here, std::move(failure));
    const ref module = require(PyImport_ImportModule("isthmus._remote"));
    const ref exception = require(
        PyObject_CallMethod(module.get(), "rebuild", "OO", captured.get(), as_itself ? Py_True : Py_False));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
    throw py::python_error{};
}

[[noreturn]] void raise_not_shareable(state& s, core::message told, bool is_result) {
    const ref text = crossing::decode(*s.here, std::move(told));
    if (!is_result) {
        PyErr_SetObject(s.not_shareable_error, text.get());
        throw py::python_error{};
    }
    // It begins with the path, if the part that can't cross is not the result itself.
    const Py_UCS4 first = PyUnicode_GET_LENGTH(text.get()) > 0 ? PyUnicode_READ_CHAR(text.get(), 0) : U' ';
    const bool is_path = first == U'[' || first == U'.' || first == U'<' || first == U'{';
    py::fail(s.not_shareable_error, is_path ? "result%U" : "result: %U", text.get());
}

/// In the interpreter of the job. No error is set afterwards.
answer attempt(core::interpreter& here, job& work, const circumstances& about) {
    answer made;
    try {
        made.how = work_inside(here, work, about, made);
    } catch (const py::python_error&) {
        PyErr_Clear();                // the answer stays `undescribed`, which open_answer raises
    } catch (const std::bad_alloc&) { // likewise
    }
    return made;
}

/// In the other interpreter and back.
answer work_there(core::interpreter& target, job work, core::current_run::number run) {
    const py::entered inside(target);
    const running_main mark(target);
    if (!mark.ok()) {
        PyErr_Clear(); // said by the answer, in the caller's interpreter
        answer refused;
        refused.how = ended::was_running;
        return refused;
    }
    return attempt(target, work, {&target.current, run});
}

} // namespace

bool is_not_shareable(PyObject* exception) {
    const ref errors = ref::steal(PyImport_ImportModule("isthmus._errors"));
    const ref kind = errors ? ref::steal(PyObject_GetAttrString(errors.get(), "NotShareableError")) : ref{};
    PyErr_Clear(); // without isthmus on its path nothing there can have raised one
    return kind && PyErr_GivenExceptionMatches(exception, kind.get()) != 0;
}

core::message take_down(core::interpreter& here, PyObject* exception) {
    return crossing::encode(here, capture(exception).get());
}

answer carry_out_for_host(core::interpreter& here, job& work, bool beside) {
    const running_main mark(here);
    if (mark.ok()) {
        return attempt(here, work, {&here.current, core::current_run::next()});
    }
    PyErr_Clear(); // said by the answer, or of no account
    if (beside) {
        return attempt(here, work, {nullptr, 0});
    }
    answer refused;
    refused.how = ended::was_running;
    return refused;
}

answer carry_out(core::interpreter& here, job& work, bool wanted) {
    struct busy {
        explicit busy(core::interpreter& i) noexcept : in(i) {
            in.current_call.begin(PyThread_get_thread_ident());
        }
        ~busy() { in.current_call.end(); }
        core::interpreter& in;
    } const mark(here);
    return attempt(here, work, {&here.current_call, core::current_run::next(), wanted});
}

ref open_answer(state& s, std::int64_t number, answer given, bool as_itself) {
    switch (given.how) {
    case ended::well:
        return crossing::decode(*s.here, std::move(given.told));
    case ended::was_running:
        py::fail(s.interpreter_error, "interpreter %lld is already running", static_cast<long long>(number));
    case ended::with_exception:
        raise_failure(s, std::move(given.told), as_itself);
    case ended::given_can_not_cross:
    case ended::result_can_not_cross:
        raise_not_shareable(s, std::move(given.told), given.how == ended::result_can_not_cross);
    case ended::undescribed:
        break;
    }
    py::fail(s.interpreter_error, "interpreter %lld raised an exception that could not be described",
             static_cast<long long>(number));
}

ref run_job(state& s, const core::interpreter_ref& target, job work) {
    const auto number = static_cast<long long>(target->number);
    if (target == s.here) {
        py::fail(s.interpreter_error, "interpreter %lld is the current one and runs already", number);
    }
    const py::run_permit permit(target);
    if (!permit.ok()) {
        py::fail(s.interpreter_error, "interpreter %lld is closed", number);
    }
    py::drain(*s.here);
    const core::current_run::number run = core::current_run::next();
    py::keyboard_scope keyboard(*s.here, target, run);
    bool as_itself = work.as_itself;
    answer given = work_there(*target, std::move(work), run);
    if (keyboard.leave(given.keyboard_ended) && given.keyboard_interrupt) {
        as_itself = true; // Ctrl-C is a KeyboardInterrupt, whichever method it stops
    }
    return open_answer(s, target->number, std::move(given), as_itself);
}

} // namespace isthmus::module

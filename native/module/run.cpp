#include "module/run.hpp"

#include "crossing/crossing.hpp"

#include "cpython/lifecycle.hpp"
#include "cpython/twin.hpp"

#include <optional>
#include <string>
#include <vector>

namespace isthmus::module {
namespace {

using core::message;
using py::ref;
using py::require;

struct named_message {
    std::string name;
    message value;
};

/// UTF-8, null characters included.
std::string text_of(PyObject* o) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(o, &size);
    if (text == nullptr) {
        throw py::python_error{};
    }
    return {text, static_cast<std::size_t>(size)};
}

std::vector<named_message> encode_names(core::interpreter& from, PyObject* names) {
    std::vector<named_message> encoded;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    for (Py_ssize_t at = 0; names != nullptr && PyDict_Next(names, &at, &key, &value) != 0;) {
        if (!PyUnicode_Check(key)) {
            py::fail(PyExc_TypeError, "names in __main__ must be str, not %R", key);
        }
        std::string name = text_of(key);
        const ref held = ref::share(value);
        encoded.push_back({std::move(name), crossing::encode(from, held.get())});
    }
    return encoded;
}

/// Marks the interpreter as running its `__main__` for the scope, as the standard library does.
class running_main {
  public:
    explicit running_main(core::interpreter& record) : record_(record) {
        ok_ = py::compat::set_running_main(static_cast<PyInterpreterState*>(record.state));
        if (ok_) {
            record_.runner.store(PyThread_get_thread_ident());
        }
    }
    ~running_main() {
        if (ok_) {
            record_.runner.store(0);
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

/// What a run printed should be seen before what the caller prints next: each interpreter has buffers of its
/// own.
void flush_streams() {
    for (const char* name : {"stdout", "stderr"}) {
        PyObject* const stream = PySys_GetObject(name);
        if (stream != nullptr && stream != Py_None) {
            const ref held = ref::share(stream);
            const ref flushed = ref::steal(PyObject_CallMethod(held.get(), "flush", nullptr));
            PyErr_Clear(); // a closed or broken stream is no failure of the run
        }
    }
}

/// In the interpreter that failed. Without `isthmus` on its path there is still a name and a text.
ref capture(PyObject* exception) {
    const ref module = ref::steal(PyImport_ImportModule("isthmus._remote"));
    ref taken = module ? ref::steal(PyObject_CallMethod(module.get(), "capture", "O", exception)) : ref{};
    if (taken) {
        return taken;
    }
    PyErr_Clear();
    ref text = ref::steal(PyObject_Str(exception));
    if (!text) {
        PyErr_Clear();
        text = require(PyUnicode_FromString(""));
    }
    const char* name = Py_TYPE(exception)->tp_name;
    return require(Py_BuildValue("(sssOssOO)", name, name, "", text.get(), name, "", Py_None, Py_None));
}

void set_names_and_run(core::interpreter& target, std::vector<named_message>& names,
                       const std::string* source) {
    const ref module = require(PyImport_AddModuleRef("__main__"));
    PyObject* const main = PyModule_GetDict(module.get());
    for (named_message& each : names) {
        const ref value = crossing::decode(target, std::move(each.value));
        const ref name =
            require(PyUnicode_FromStringAndSize(each.name.data(), static_cast<Py_ssize_t>(each.name.size())));
        require(PyDict_SetItem(main, name.get(), value.get()));
    }
    if (source == nullptr) {
        return;
    }
    // Text that was decoded already: an encoding declared in its first lines says nothing about it.
    PyCompilerFlags flags = {PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE, PY_MINOR_VERSION};
    const ref code = require(Py_CompileStringFlags(source->c_str(), "<string>", Py_file_input, &flags));
    py::check(PyEval_EvalCode(code.get(), main, main));
}

enum class ended : std::uint8_t { well, with_exception, was_running };

/// On the other side. An exception is left in `failure` as a message.
ended work_inside(core::interpreter& target, std::vector<named_message>& names, const std::string* source,
                  message& failure) {
    const running_main mark(target);
    if (!mark.ok()) {
        PyErr_Clear();
        return ended::was_running;
    }
    py::drain(target);
    try {
        set_names_and_run(target, names, source);
        flush_streams();
        return ended::well;
    } catch (const py::python_error&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    const ref exception = ref::steal(PyErr_GetRaisedException());
    flush_streams();
    failure = crossing::encode(target, capture(exception.get()).get());
    return ended::with_exception;
}

[[noreturn]] void raise_failure(state& s, message failure, bool as_itself) {
    const ref captured = crossing::decode(*s.here, std::move(failure));
    const ref module = require(PyImport_ImportModule("isthmus._remote"));
    const ref exception = require(
        PyObject_CallMethod(module.get(), "rebuild", "OO", captured.get(), as_itself ? Py_True : Py_False));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
    throw py::python_error{};
}

} // namespace

void run_job(state& s, const core::interpreter_ref& target, const job& work) {
    const auto number = static_cast<long long>(target->number);
    std::vector<named_message> names = encode_names(*s.here, work.names);
    std::optional<std::string> source;
    if (work.source != nullptr) {
        source = text_of(work.source);
        if (source->find('\0') != std::string::npos) {
            py::fail(PyExc_ValueError, "source text must not contain null characters");
        }
    }
    if (target == s.here) {
        py::fail(s.interpreter_error, "interpreter %lld is the current one and runs already", number);
    }
    const py::run_permit permit(target);
    if (!permit.ok()) {
        py::fail(s.interpreter_error, "interpreter %lld is closed", number);
    }
    py::drain(*s.here);
    message failure;
    ended how{};
    bool unexplained = false;
    {
        const py::entered inside(*target);
        try {
            how = work_inside(*target, names, source ? &*source : nullptr, failure);
        } catch (const py::python_error&) {
            PyErr_Clear(); // not even its description could be made
            unexplained = true;
        }
        names.clear();
    }
    if (unexplained) {
        py::fail(s.interpreter_error, "interpreter %lld raised an exception that could not be described",
                 number);
    }
    if (how == ended::was_running) {
        py::fail(s.interpreter_error, "interpreter %lld is already running", number);
    }
    if (how == ended::with_exception) {
        raise_failure(s, std::move(failure), work.as_itself);
    }
}

} // namespace isthmus::module

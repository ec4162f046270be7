/// CPython's start and end by a host, and the package that belongs to this library.
#include <isthmus/runtime.hpp>

#include "host/answers.hpp"
#include "host/inside.hpp"

#include "module/attaching.hpp"
#include "module/making.hpp"
#include "module/state.hpp"

#include "cpython/waiting.hpp"

#include "core/immortal.hpp"

#include <cstdio>
#include <dlfcn.h>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace isthmus {
namespace {

struct the_runtime {
    std::mutex lock; ///< not held while a GIL is taken, but by who starts or stops, whom all others wait for
    std::size_t users = 0;
    bool started_python = false;
    std::thread::id starter;
    PyThreadState* main_thread = nullptr; ///< of the starter, while it is not attached
};

the_runtime& runtime_of_process() noexcept {
    return core::immortal<the_runtime>();
}

// ---- CPython

class configuration {
  public:
    explicit configuration(bool isolated) {
        (isolated ? PyConfig_InitIsolatedConfig : PyConfig_InitPythonConfig)(&config_);
        config_.parse_argv = 0;
    }
    ~configuration() { PyConfig_Clear(&config_); }
    configuration(const configuration&) = delete;
    configuration& operator=(const configuration&) = delete;

    void apply(const runtime_options& options) {
        config_.install_signal_handlers = options.signal_handlers ? 1 : 0;
        if (!options.program.empty()) {
            require(PyConfig_SetBytesString(&config_, &config_.program_name, options.program.c_str()));
        }
        for (const std::string& each : options.arguments) {
            wchar_t* const wide = Py_DecodeLocale(each.c_str(), nullptr);
            const PyStatus added =
                wide != nullptr ? PyWideStringList_Append(&config_.argv, wide) : PyStatus_NoMemory();
            PyMem_RawFree(wide);
            require(added);
        }
    }
    void start() { require(Py_InitializeFromConfig(&config_)); }

  private:
    static void require(PyStatus status) {
        if (PyStatus_Exception(status) != 0) {
            throw interpreter_error(std::string("CPython can't be started: ") +
                                    (status.err_msg != nullptr ? status.err_msg : "it wants to exit"));
        }
    }
    PyConfig config_{};
};

/// Attached to main for the scope, in a CPython that somebody else initialised.
class attached_to_main {
  public:
    attached_to_main() {
        try {
            known_.emplace(host::main_record());
        } catch (const interpreter_error&) { // isthmus is not there yet
            state_ = PyGILState_Ensure();
        }
    }
    ~attached_to_main() {
        if (!known_) {
            PyGILState_Release(state_);
        }
    }
    attached_to_main(const attached_to_main&) = delete;
    attached_to_main& operator=(const attached_to_main&) = delete;

  private:
    std::optional<host::inside> known_;
    PyGILState_STATE state_{};
};

// ---- the package

constexpr Py_ssize_t last = PY_SSIZE_T_MAX;

void add_to_path(const std::string& entry, Py_ssize_t at) {
    PyObject* const path = PySys_GetObject("path");
    const py::ref text = py::require(PyUnicode_DecodeFSDefault(entry.c_str()));
    if (path != nullptr && PyList_Check(path)) {
        py::require(PyList_Insert(path, at, text.get()));
    }
}

std::filesystem::path own_file() {
    Dl_info found{};
    static const char somewhere = 0;
    if (dladdr(&somewhere, &found) == 0 || found.dli_fname == nullptr) {
        return {};
    }
    std::error_code failed;
    return std::filesystem::canonical(found.dli_fname, failed);
}

/// Where the package is that was installed with this library: in a wheel it holds the library, under a prefix
/// it is where a Python of that prefix looks. Empty: neither.
std::filesystem::path own_package() {
    const std::filesystem::path libraries = own_file().parent_path();
    const std::string python =
        "python" + std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
    for (const std::filesystem::path& place :
         {libraries.parent_path().parent_path(), libraries / python / "site-packages"}) {
        if (std::filesystem::exists(place / "isthmus" / "__init__.py")) {
            return place;
        }
    }
    return {};
}

/// Where in the path the package is that would be imported, if it was never built: a checkout, which has no
/// extension module. Without importing anything, since half of a package would stay behind.
std::optional<Py_ssize_t> place_of_unbuilt() {
    const py::ref machinery = py::require(PyImport_ImportModule("importlib.machinery"));
    const py::ref finder = py::require(PyObject_GetAttrString(machinery.get(), "PathFinder"));
    const py::ref spec = py::require(PyObject_CallMethod(finder.get(), "find_spec", "s", "isthmus"));
    const py::ref inside = py::optional_attribute(spec.get(), "submodule_search_locations");
    if (!inside || !PyList_Check(inside.get())) {
        return std::nullopt;
    }
    const py::ref extension =
        py::require(PyObject_CallMethod(finder.get(), "find_spec", "sO", "isthmus._isthmus", inside.get()));
    PyObject* const path = PySys_GetObject("path");
    if (!Py_IsNone(extension.get()) || path == nullptr || !PyList_Check(path)) {
        return std::nullopt;
    }
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(path); ++at) {
        const py::ref entry = py::require(Py_BuildValue("[O]", PyList_GET_ITEM(path, at)));
        const py::ref here =
            py::require(PyObject_CallMethod(finder.get(), "find_spec", "sO", "isthmus", entry.get()));
        if (!Py_IsNone(here.get())) {
            return at;
        }
    }
    return std::nullopt;
}

/// The package that is on the path, else the one of this library. Null: neither; an error is set.
py::ref import_package() {
    const std::filesystem::path place = own_package();
    if (const auto unbuilt = place.empty() ? std::nullopt : place_of_unbuilt()) {
        add_to_path(place.string(), *unbuilt);
    }
    py::ref found = py::ref::steal(PyImport_ImportModule("isthmus._isthmus"));
    if (found || PyErr_ExceptionMatches(PyExc_ModuleNotFoundError) == 0) {
        return found;
    }
    const py::ref missing = py::ref::steal(PyErr_GetRaisedException());
    if (place.empty()) {
        PyErr_SetRaisedException(Py_NewRef(missing.get()));
        return {};
    }
    add_to_path(place.string(), last);
    return py::ref::steal(PyImport_ImportModule("isthmus._isthmus"));
}

/// Attached to main.
void join_package(const runtime_options& options) {
    try {
        Py_ssize_t at = 0;
        for (const std::string& each : options.path) {
            add_to_path(each, at++);
        }
        const py::ref package = py::require(import_package().release());
        if (PyModule_GetDef(package.get()) != &module::definition) {
            throw interpreter_error(
                "the package isthmus that Python finds belongs to another version than this "
                "library, " ISTHMUS_VERSION " (" +
                own_file().string() + ")");
        }
        module::prepare_main_interpreter();
    } catch (const py::python_error&) {
        throw interpreter_error("the Python package of isthmus can't be imported: " +
                                module::taken_error().value_or("no memory"));
    }
}

void start_python(the_runtime& all, const runtime_options& options) {
    configuration config(options.isolated);
    config.apply(options);
    config.start();
    try {
        join_package(options);
    } catch (...) {
        Py_FinalizeEx();
        throw;
    }
    all.started_python = true;
    all.starter = std::this_thread::get_id();
    all.main_thread = PyEval_SaveThread();
}

void stop_python(the_runtime& all) {
    PyEval_RestoreThread(std::exchange(all.main_thread, nullptr));
    all.started_python = false;
    if (Py_FinalizeEx() < 0) {
        throw interpreter_error("what Python had left to write could not be flushed");
    }
}

} // namespace

runtime runtime::start(const runtime_options& options) {
    the_runtime& all = runtime_of_process();
    const std::lock_guard guard(all.lock);
    if (Py_IsInitialized() == 0) {
        start_python(all, options);
    } else if (all.users == 0 || !all.started_python) {
        const attached_to_main scope;
        join_package(options);
    }
    ++all.users;
    runtime made;
    made.counted_ = true;
    return made;
}

runtime::runtime(runtime&& other) noexcept : counted_(std::exchange(other.counted_, false)) {}

runtime& runtime::operator=(runtime&& other) noexcept {
    if (this != &other) {
        runtime former(std::move(*this));
        counted_ = std::exchange(other.counted_, false);
    }
    return *this;
}

runtime::~runtime() {
    try {
        stop();
    } catch (const error& failed) {
        std::fprintf(stderr, "isthmus: %s\n", failed.what());
    }
}

void runtime::stop() {
    if (!counted_) {
        return;
    }
    the_runtime& all = runtime_of_process();
    const std::lock_guard guard(all.lock);
    if (all.users == 1 && all.started_python) {
        if (std::this_thread::get_id() != all.starter) {
            throw interpreter_error("the thread that started the runtime stops it");
        }
        if (PyThreadState_GetUnchecked() != nullptr) {
            throw interpreter_error("the runtime can't be stopped inside an isthmus::entered scope");
        }
    }
    counted_ = false;
    --all.users;
    if (all.users == 0 && all.started_python) {
        stop_python(all);
    }
}

bool runtime::running() noexcept {
    if (Py_IsInitialized() == 0) {
        return false;
    }
    try {
        static_cast<void>(host::main_record());
        return true;
    } catch (const interpreter_error&) {
        return false;
    }
}

std::string python_version() {
    const std::string whole = Py_GetVersion();
    return whole.substr(0, whole.find(' '));
}

} // namespace isthmus

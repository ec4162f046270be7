/// A host that gives Python several lives: `host EXECUTABLE LIVES SCRIPT [THREAD_SCRIPT…]`.
///
/// In each life it runs SCRIPT, then each THREAD_SCRIPT in a thread of its own, which must call `begun()` and
/// may block or run for ever, and finalises while they do. Exit status 0 if every call of Python's API
/// succeeded.

#include <Python.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace {

std::atomic<int> threads_begun{0};

[[noreturn]] void give_up(const char* what) {
    std::fprintf(stderr, "host: %s\n", what);
    std::exit(1);
}

PyObject* begun(PyObject*, PyObject*) {
    ++threads_begun;
    threads_begun.notify_all();
    Py_RETURN_NONE;
}

PyMethodDef begun_method = {"begun", begun, METH_NOARGS, nullptr};

void initialise(const char* executable) {
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    // As the command itself would start: the standard library is found by its path.
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, executable);
    if (PyStatus_Exception(status) == 0) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status) != 0) {
        give_up(status.err_msg);
    }
}

/// Runs in `__main__`, under its GIL; false: it failed and the traceback is printed.
bool run_file(const char* path) {
    std::ifstream file{path};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    return file && PyRun_SimpleString(text.c_str()) == 0;
}

void start_thread(const char* path) {
    // Detached: CPython may never let it go on once it has finalised.
    std::thread([path] {
        const PyGILState_STATE state = PyGILState_Ensure();
        if (!run_file(path)) {
            give_up("a thread's script failed");
        }
        PyGILState_Release(state);
    }).detach();
}

void live(const char* executable, int number, char** scripts, int count) {
    initialise(executable);
    PyObject* const function = PyCFunction_New(&begun_method, nullptr);
    PyObject* const life = PyLong_FromLong(number);
    PyObject* const main = PyImport_AddModule("__main__");
    if (function == nullptr || life == nullptr || main == nullptr ||
        PyObject_SetAttrString(main, "begun", function) != 0 ||
        PyObject_SetAttrString(main, "life", life) != 0) {
        give_up("no room for the script's names");
    }
    Py_DECREF(function);
    Py_DECREF(life);
    if (!run_file(scripts[0])) {
        give_up("the script failed");
    }
    threads_begun = 0;
    for (int each = 1; each < count; ++each) {
        start_thread(scripts[each]);
    }
    Py_BEGIN_ALLOW_THREADS;
    for (int now = threads_begun; now != count - 1; now = threads_begun) {
        threads_begun.wait(now);
    }
    Py_END_ALLOW_THREADS;
    if (Py_FinalizeEx() != 0) {
        give_up("Py_FinalizeEx() failed");
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count < 4) {
        give_up("usage: host EXECUTABLE LIVES SCRIPT [THREAD_SCRIPT...]");
    }
    const int lives = std::atoi(arguments[2]);
    for (int number = 0; number < lives; ++number) {
        live(arguments[1], number, arguments + 3, count - 3);
        std::printf("life %d\n", number);
        std::fflush(stdout);
    }
    return 0;
}

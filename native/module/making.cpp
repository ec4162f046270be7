#include "module/making.hpp"

#include "module/attaching.hpp"

#include "crossing/crossing.hpp"

#include <new>
#include <utility>

namespace isthmus::module {
namespace {

using py::ref;
using py::require;

/// In the new interpreter: sys.path, and the runtime's record. Throws python_error, set there.
core::interpreter_ref furnish(core::message path, py::creation made) {
    core::interpreter_ref record = py::attach_current(made);
    const ref entries = crossing::decode(*record, std::move(path));
    const ref list = require(PySequence_List(entries.get()));
    require(PySys_SetObject("path", list.get()));
    return record;
}

/// Likewise. Nothing is set afterwards.
made_interpreter attach(core::message path, py::creation kind, std::optional<std::string> label) {
    made_interpreter made;
    try {
        made.record = furnish(std::move(path), kind);
        core::interpreters().name_it(*made.record, std::move(label));
    } catch (const py::python_error&) {
        if (const std::optional<std::string> why = taken_error()) {
            made.why = "isthmus can't attach to the new interpreter: " + *why;
        }
    } catch (const std::bad_alloc&) { // said by saying nothing
    }
    return made;
}

} // namespace

void prepare_main_interpreter() {
    if (!py::compat::datetime_wants_main_first) {
        return;
    }
    core::interpreter main;
    main.state = PyInterpreterState_Main();
    if (main.state == PyInterpreterState_Get()) {
        py::check(PyImport_ImportModule("datetime"));
        return;
    }
    const py::entered inside(main);
    const ref imported = ref::steal(PyImport_ImportModule("datetime"));
    PyErr_Clear(); // then nobody can import it, and nothing is corrupted
}

made_interpreter make_interpreter(const PyInterpreterConfig& config, core::message path,
                                  std::optional<std::string> label) {
    const py::creation kind =
        config.gil == PyInterpreterConfig_OWN_GIL ? py::creation::own_gil : py::creation::shared_gil;
    PyThreadState* const outside = PyThreadState_Swap(nullptr);
    PyThreadState* inside = nullptr;
    const PyStatus status = Py_NewInterpreterFromConfig(&inside, &config);
    if (PyStatus_Exception(status) != 0) {
        PyThreadState_Swap(outside);
        const char* const said = status.err_msg != nullptr ? status.err_msg : "unknown reason";
        return {nullptr, std::string("no interpreter could be created: ") + said};
    }
    made_interpreter made = attach(std::move(path), kind, std::move(label));
    if (made.record == nullptr) {
        Py_EndInterpreter(inside);
        PyThreadState_Swap(outside);
        if (outside != nullptr) {
            py::reap();
        }
        return made;
    }
    PyThreadState_Clear(inside);
    PyThreadState_Swap(outside);
    PyThreadState_Delete(inside);
    return made;
}

} // namespace isthmus::module

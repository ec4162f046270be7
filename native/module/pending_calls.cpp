#include "module/pending_calls.hpp"

#include "module/arguments.hpp"
#include "module/interpreter_object.hpp"
#include "module/run.hpp"

#include "cpython/lifecycle.hpp"
#include "cpython/methods.hpp"
#include "cpython/twin.hpp"
#include "cpython/waiting.hpp"

#include "core/posted_call.hpp"

#include <memory>
#include <utility>

namespace isthmus::module {
namespace {

using core::outcome;
using py::guarded;
using py::method;
using py::ref;
using py::require;
using py::slot;
using phase = core::posted_call::phase;

/// The call as it crosses, then its answer.
class posted final : public core::posted_call {
  public:
    posted(core::interpreter_ref to, core::message call)
        : posted_call(std::move(to)), cargo_(std::move(call)) {}

    /// Who looks for its end: the Python object lives. Read by the owner when it begins.
    std::atomic<bool> wanted{true};

    /// Once it is done, by one thread.
    [[nodiscard]] answer take() noexcept { return {how_, std::move(cargo_)}; }

  protected:
    void perform(core::interpreter& here) override {
        job work;
        work.call = std::move(cargo_);
        answer given = carry_out(here, work, wanted.load(std::memory_order_acquire));
        how_ = given.how;
        cargo_ = std::move(given.told);
    }
    void discard() noexcept override { cargo_.reset(); }

  private:
    core::message cargo_;
    module::ended how_ = module::ended::undescribed;
};

struct pending_call_object {
    PyObject_HEAD;
    std::shared_ptr<posted> call;
    core::interpreter_ref here;
    state* module;         ///< the type keeps the module alive
    PyObject* interpreter; ///< keeps it open
    // The outcome in this interpreter, made by whoever first asks: one of the two.
    PyObject* value;
    PyObject* exception;
    PyMutex opening;
    unsigned long opener; ///< the thread that holds `opening`, or 0

    [[nodiscard]] static pending_call_object& of(PyObject* o) noexcept {
        return *reinterpret_cast<pending_call_object*>(o);
    }
    [[nodiscard]] bool opened() const noexcept { return value != nullptr || exception != nullptr; }
};

int pending_call_traverse(PyObject* o, visitproc visit, void* arg) {
    pending_call_object& self = pending_call_object::of(o);
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(self.interpreter);
    Py_VISIT(self.value);
    Py_VISIT(self.exception);
    return 0;
}

int pending_call_clear(PyObject* o) {
    pending_call_object& self = pending_call_object::of(o);
    Py_CLEAR(self.value);
    Py_CLEAR(self.exception);
    return 0;
}

void pending_call_dealloc(PyObject* o) {
    pending_call_object& self = pending_call_object::of(o);
    PyTypeObject* const type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    if (self.call != nullptr) {
        self.call->wanted.store(false, std::memory_order_release);
    }
    PyObject* const interpreter = std::exchange(self.interpreter, nullptr);
    pending_call_clear(o);
    std::destroy_at(&self.call);
    std::destroy_at(&self.here);
    type->tp_free(o);
    Py_DECREF(type);
    Py_XDECREF(interpreter); // may close it, and wait for that
}

// ---- waiting

/// Whether it ended in time. Throws python_error: InterpreterError, what a signal's handler raised.
bool await(const pending_call_object& self, core::futex::deadline until) {
    const std::shared_ptr<posted> call = self.call;
    const core::interpreter_ref here = self.here;
    py::drain(*here);
    if (call->ended()) {
        return true;
    }
    if (!until && call->waits_for_itself()) {
        py::fail(self.module->interpreter_error,
                 "posted calls of one interpreter run one after another: this one would wait for ever");
    }
    const outcome how =
        py::wait_for(*here, [&](core::wait_site& site) { return call->wait(*here->side, until, site); });
    if (how == outcome::party_closing) {
        py::fail(self.module->interpreter_error, "this interpreter is being closed");
    }
    return how == outcome::ok;
}

/// `timeout` is the only parameter.
core::futex::deadline patience_for(const char* function, PyObject* const* args, Py_ssize_t count,
                                   PyObject* keywords) {
    const auto [timeout] = parse<1>(function, {"timeout"}, 0, args, count, keywords);
    return deadline_of(timeout);
}

// ---- the outcome

/// Makes `value` or `exception`. Another thread of this interpreter may be about it already.
void open(pending_call_object& self) {
    if (!self.opened() && self.opener == PyThread_get_thread_ident()) {
        py::fail(PyExc_RuntimeError, "the result of this call is just being received by this very thread");
    }
    PyMutex_Lock(&self.opening);
    if (!self.opened()) {
        self.opener = PyThread_get_thread_ident();
        try {
            self.value =
                open_answer(*self.module, self.call->to().number, self.call->take(), false).release();
        } catch (const py::python_error&) {
            self.exception = PyErr_GetRaisedException();
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
            self.exception = PyErr_GetRaisedException();
        }
        self.opener = 0;
    }
    PyMutex_Unlock(&self.opening);
}

/// After it ended: throws python_error unless it is done, and opened then.
void require_done(pending_call_object& self) {
    switch (self.call->now()) {
    case phase::cancelled: {
        const ref futures = require(PyImport_ImportModule("concurrent.futures"));
        const ref kind = require(PyObject_GetAttrString(futures.get(), "CancelledError"));
        PyErr_SetNone(kind.get());
        throw py::python_error{};
    }
    case phase::failed:
        py::fail(self.module->interpreter_error,
                 "interpreter %lld was closed, or this process forked, before it ran this call",
                 static_cast<long long>(self.call->to().number));
    default:
        open(self);
    }
}

PyObject* pending_call_result(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&] {
        pending_call_object& self = pending_call_object::of(o);
        if (!await(self, patience_for("result", args, count, keywords))) {
            py::fail(PyExc_TimeoutError, "the posted call has not ended yet");
        }
        require_done(self);
        if (self.exception != nullptr) {
            PyErr_SetRaisedException(Py_NewRef(self.exception));
            throw py::python_error{};
        }
        return Py_NewRef(self.value);
    });
}

PyObject* pending_call_exception(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&]() -> PyObject* {
        pending_call_object& self = pending_call_object::of(o);
        if (!await(self, patience_for("exception", args, count, keywords))) {
            py::fail(PyExc_TimeoutError, "the posted call has not ended yet");
        }
        try {
            require_done(self);
        } catch (const py::python_error&) {
            if (self.call->now() == phase::failed) {
                return PyErr_GetRaisedException();
            }
            throw;
        }
        return Py_NewRef(self.exception != nullptr ? self.exception : Py_None);
    });
}

PyObject* pending_call_wait(PyObject* o, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
    return guarded<PyObject*>(nullptr, [&] {
        const core::futex::deadline until = patience_for("wait", args, count, keywords);
        return PyBool_FromLong(await(pending_call_object::of(o), until) ? 1 : 0);
    });
}

PyObject* pending_call_done(PyObject* o, PyObject*) {
    return PyBool_FromLong(pending_call_object::of(o).call->ended() ? 1 : 0);
}

PyObject* pending_call_running(PyObject* o, PyObject*) {
    return PyBool_FromLong(pending_call_object::of(o).call->now() == phase::running ? 1 : 0);
}

PyObject* pending_call_cancelled(PyObject* o, PyObject*) {
    return PyBool_FromLong(pending_call_object::of(o).call->now() == phase::cancelled ? 1 : 0);
}

PyObject* pending_call_cancel(PyObject* o, PyObject*) {
    const std::shared_ptr<posted> call = pending_call_object::of(o).call;
    return PyBool_FromLong(call->cancel() ? 1 : 0);
}

PyObject* pending_call_interpreter(PyObject* o, void*) {
    return Py_NewRef(pending_call_object::of(o).interpreter);
}

PyObject* pending_call_repr(PyObject* o) {
    constexpr const char* words[] = {"waiting", "running", "done", "cancelled", "failed"};
    const posted& call = *pending_call_object::of(o).call;
    return PyUnicode_FromFormat("<isthmus.PendingCall %s, interpreter %lld>",
                                words[static_cast<std::size_t>(call.now())],
                                static_cast<long long>(call.to().number));
}

PyMethodDef pending_call_methods[] = {
    {"result", method(pending_call_result), METH_FASTCALL | METH_KEYWORDS,
     "result($self, timeout=None)\n--\n\n"
     "Wait for the call's end and return what it returned.\n\n"
     "ExecutionFailed if it raised, NotShareableError if its result can't cross, "
     "concurrent.futures.CancelledError if it was cancelled,\n"
     "InterpreterError if its interpreter closed before it began, or the one that waits is closed, "
     "TimeoutError after `timeout` seconds."},
    {"exception", method(pending_call_exception), METH_FASTCALL | METH_KEYWORDS,
     "exception($self, timeout=None)\n--\n\n"
     "Wait for the call's end and return what `result` would raise, or None. CancelledError and TimeoutError "
     "are raised."},
    {"wait", method(pending_call_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"
     "Wait for the call's end, however it ends; return False if `timeout` seconds passed first."},
    {"done", pending_call_done, METH_NOARGS,
     "done($self)\n--\n\nWhether it has ended: returned, raised, cancelled, or failed with its interpreter."},
    {"running", pending_call_running, METH_NOARGS,
     "running($self)\n--\n\nWhether it has begun and not ended."},
    {"cancel", pending_call_cancel, METH_NOARGS,
     "cancel($self)\n--\n\n"
     "Keep it from running. Return False if it has begun or ended; True also if it was cancelled before."},
    {"cancelled", pending_call_cancelled, METH_NOARGS, "cancelled($self)\n--\n\nWhether it was cancelled."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef pending_call_properties[] = {{"interpreter", pending_call_interpreter, nullptr,
                                          "The interpreter that it was posted to; kept open by this.",
                                          nullptr},
                                         {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot pending_call_slots[] = {
    {Py_tp_dealloc, slot(pending_call_dealloc)},
    {Py_tp_traverse, slot(pending_call_traverse)},
    {Py_tp_clear, slot(pending_call_clear)},
    {Py_tp_methods, pending_call_methods},
    {Py_tp_getset, pending_call_properties},
    {Py_tp_repr, slot(pending_call_repr)},
    {Py_tp_doc, const_cast<char*>(
                    "A call posted to an interpreter, by `Interpreter.post`.\n\n"
                    "Dropping it changes nothing for the call; what it returns is dropped then, and what it "
                    "raises is given to the\n"
                    "interpreter's `sys.unraisablehook` if nobody held the PendingCall any more when it "
                    "began.")},
    {0, nullptr}};

PyType_Spec pending_call_spec = {"isthmus.PendingCall", sizeof(pending_call_object), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                                     Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 pending_call_slots};

ref make_pending_call(PyObject* o, std::shared_ptr<posted> call) {
    state& s = *interpreter_object::of(o).module;
    ref made = require(s.pending_call_type->tp_alloc(s.pending_call_type, 0));
    pending_call_object& self = pending_call_object::of(made.get());
    std::construct_at(&self.call, std::move(call));
    std::construct_at(&self.here, s.here);
    self.module = &s;
    self.interpreter = Py_NewRef(o);
    return made;
}

} // namespace

void add_pending_call_type(PyObject* module) {
    add_type(module, pending_call_spec, state_of(module).pending_call_type);
}

ref post(PyObject* o, core::message call) {
    interpreter_object& self = interpreter_object::of(o);
    const state& s = *self.module;
    py::drain(*s.here);
    const core::interpreter_ref to = live_record_of(self);
    ref made = make_pending_call(o, std::make_shared<posted>(to, std::move(call)));
    const std::shared_ptr<posted> work = pending_call_object::of(made.get()).call;
    // Before, so that nothing was posted if there is no thread; after, should the helper have rested between.
    const bool served = py::start_calls(*to);
    if (served && !core::post_call(work)) {
        py::fail(s.interpreter_error, "interpreter %lld is closed", static_cast<long long>(to->number));
    }
    if (!served || (!py::start_calls(*to) && work->cancel())) {
        py::fail(PyExc_RuntimeError, "no thread can be started for interpreter %lld",
                 static_cast<long long>(to->number));
    }
    return made;
}

} // namespace isthmus::module

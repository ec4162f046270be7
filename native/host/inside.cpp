#include "host/inside.hpp"

#include <isthmus/error.hpp>

#include "cpython/current.hpp"
#include "cpython/twin.hpp"

#include <cassert>
#include <utility>

namespace isthmus::host {
namespace {

[[noreturn]] void refuse(const core::interpreter& record) {
    throw interpreter_error("interpreter " + std::to_string(record.number) + " is closed");
}

} // namespace

thread_local constinit inside::place inside::innermost_{};

inside::inside(const core::interpreter_ref& record) : record_(record), permit_(record) {
    if (!permit_.ok()) {
        refuse(*record);
    }
    if (py::current_interpreter() == record.get()) {
        return;
    }
    if (!record->entry.enter()) {
        refuse(*record);
    }
    made_ = PyThreadState_New(static_cast<PyInterpreterState*>(record->state));
    if (made_ == nullptr) {
        record->entry.leave();
        throw std::bad_alloc{};
    }
    assert(core::held_locks::here() == 0); // invariant 8
    if (PyThreadState_GetUnchecked() == nullptr) {
        PyEval_AcquireThread(made_);
    } else {
        outside_ = PyThreadState_Swap(made_);
    }
    around_ = std::exchange(innermost_, {record.get(), made_});
    py::drain(*record);
}

inside::~inside() {
    if (made_ == nullptr) {
        return;
    }
    PyThreadState_Clear(made_); // which may run code that looks
    innermost_ = around_;
    if (outside_ == nullptr) {
        PyThreadState_DeleteCurrent();
    } else {
        PyThreadState_Swap(outside_);
        PyThreadState_Delete(made_);
    }
    record_->entry.leave();
}

/// That it is attached keeps the state in existence, so the address says which interpreter it is, unless the
/// record's own was gone before.
bool inside::looks_so(const core::interpreter& record) noexcept {
    PyThreadState* const thread = PyThreadState_GetUnchecked();
    return thread != nullptr && PyThreadState_GetInterpreter(thread) == record.state &&
           record.now.load(std::memory_order_acquire) != core::interpreter::phase::gone;
}

core::interpreter_ref main_record() {
    core::interpreter_ref found;
    core::interpreters().for_each([&](const core::interpreter_ref& each) {
        if (each->is_main && each->open()) {
            found = each;
        }
    });
    if (found == nullptr) {
        throw interpreter_error("isthmus is not started: isthmus::runtime::start() does it");
    }
    return found;
}

} // namespace isthmus::host

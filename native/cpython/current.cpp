#include "cpython/current.hpp"

namespace isthmus::py {
namespace {

/// The answer of the last look-up on this thread. A record stays in the registry until its interpreter is
/// gone, and then the epoch differs, so the plain pointer never dangles while it matches.
struct cached {
    PyInterpreterState* state = nullptr;
    std::int64_t number = -1;
    std::uint64_t epoch = 0;
    core::interpreter* record = nullptr;
};
[[gnu::tls_model("initial-exec")]] thread_local constinit cached last;

} // namespace

core::interpreter* current_interpreter() noexcept {
    PyThreadState* const thread = PyThreadState_GetUnchecked();
    if (thread == nullptr) {
        return nullptr;
    }
    PyInterpreterState* const state = PyThreadState_GetInterpreter(thread);
    const std::int64_t number = PyInterpreterState_GetID(state);
    const std::uint64_t epoch = core::interpreters().epoch();
    if (last.state != state || last.epoch != epoch || last.number != number) [[unlikely]] {
        last = {state, number, epoch, core::interpreters().find(state, number).get()};
    }
    return last.record;
}

core::interpreter_ref current_interpreter_ref() {
    PyThreadState* const thread = PyThreadState_GetUnchecked();
    if (thread == nullptr) {
        return nullptr;
    }
    PyInterpreterState* const state = PyThreadState_GetInterpreter(thread);
    return core::interpreters().find(state, PyInterpreterState_GetID(state));
}

} // namespace isthmus::py

#include "cpython/gil_hooks.hpp"

#include "cpython/waiting.hpp"

#include "cxx/blocking.hpp"

namespace isthmus::py {
namespace {

/// In which life of CPython the calling thread let go of its GIL; it waits once at a time.
constinit thread_local std::uint64_t left_in_life = 0;

void* leave_gil() noexcept {
    if (PyThreadState_GetUnchecked() == nullptr) {
        return nullptr;
    }
    left_in_life = life();
    return PyEval_SaveThread();
}

void take_gil_back(void* left) {
    reattach(static_cast<PyThreadState*>(left), left_in_life);
}

constexpr detail::gil_hooks hooks = {leave_gil, take_gil_back};

} // namespace

void install_gil_hooks() noexcept {
    detail::set_gil_hooks(&hooks);
}

} // namespace isthmus::py

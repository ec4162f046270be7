#include "cpython/interruption.hpp"

#include "cpython/compat.hpp"

#include <algorithm>
#include <memory>
#include <pthread.h>

namespace isthmus::py {
namespace {

using core::futex::nanoseconds;

struct interruption {
    core::interpreter_ref record;
    nanoseconds until;
};

/// False: the run has not got so far that it can be interrupted, or is past that.
bool interrupt(core::interpreter& record) {
    PyThreadState* const thread = PyThreadState_New(static_cast<PyInterpreterState*>(record.state));
    if (thread == nullptr) {
        return false;
    }
    PyEval_AcquireThread(thread);
    int reached = 0;
    for (const unsigned long busy : {record.runner.load(), record.caller.load()}) {
        reached += busy != 0 ? PyThreadState_SetAsyncExc(busy, PyExc_KeyboardInterrupt) : 0;
    }
    PyThreadState_Clear(thread);
    PyThreadState_DeleteCurrent();
    return reached != 0;
}

/// A thread of its own, because taking the GIL of an interpreter that is stuck in C code may never succeed.
void* interrupt_until_stopped(void* argument) {
    constexpr nanoseconds for_the_code_to_end = 1'000'000'000;
    constexpr nanoseconds shortest = 1'000'000; // a run that is just beginning or ending
    constexpr nanoseconds longest = 64'000'000;
    const std::unique_ptr<interruption> task(static_cast<interruption*>(argument));
    core::interpreter& record = *task->record;
    nanoseconds pause = shortest;
    bool stopped = wait_until_stopped(record, 0) && !record.calls.anybody_inside();
    while (!stopped && core::futex::now() < task->until && record.entry.enter()) {
        const bool reached = interrupt(record);
        record.entry.leave();
        const nanoseconds next =
            std::min(core::futex::now() + (reached ? for_the_code_to_end : pause), task->until);
        stopped = wait_until_stopped(record, next) && record.calls.wait_until_empty(next);
        pause = reached ? shortest : std::min(2 * pause, longest);
    }
    return nullptr;
}

} // namespace

void begin_stopping(const core::interpreter_ref& record, nanoseconds until) {
    record->side->begin_close();
    if (record->stopping.exchange(true)) {
        return;
    }
    pthread_t thread{};
    auto task = std::make_unique<interruption>(interruption{record, until});
    if (pthread_create(&thread, nullptr, interrupt_until_stopped, task.get()) == 0) {
        static_cast<void>(task.release());
        pthread_detach(thread);
    }
}

bool wait_until_stopped(const core::interpreter& record, nanoseconds until) noexcept {
    for (std::uint32_t runs = record.runs.load(); runs != 0; runs = record.runs.load()) {
        if (core::futex::wait(record.runs, runs, until) == core::futex::wait_result::timed_out) {
            return record.runs.load() == 0;
        }
    }
    return true;
}

} // namespace isthmus::py

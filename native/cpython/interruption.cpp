#include "cpython/interruption.hpp"

#include "cpython/compat.hpp"
#include "cpython/current.hpp"
#include "cpython/keyboard.hpp"

#include <algorithm>
#include <cassert>
#include <ctime>
#include <memory>
#include <new>
#include <pthread.h>

namespace isthmus::py {
namespace {

using core::futex::nanoseconds;

/// Under the GIL of `record`'s interpreter.
void deliver(core::interpreter& record, core::current_run& run, const core::current_run::request& asked) {
    PyObject* const exception = asked.from == core::current_run::source::keyboard
                                    ? PyExc_KeyboardInterrupt
                                    : static_cast<PyObject*>(const_cast<void*>(asked.what));
    PyThreadState_SetAsyncExc(run.thread(), exception);
    run.delivered(asked.from);
    record.side->interrupt(run.deliveries());
}

void deliver_all(core::interpreter& record) {
    for (core::current_run* run : {&record.current, &record.current_call}) {
        core::current_run::request asked;
        while (run->take(asked)) {
            deliver(record, *run, asked);
        }
    }
}

bool has_requests(const core::interpreter& record) noexcept {
    return record.current.asked() || record.current_call.asked();
}

/// The courier's work. False: the interpreter can't be entered any more.
bool carry(void* context) {
    auto& record = *static_cast<core::interpreter*>(context);
    if (!has_requests(record)) {
        return true;
    }
    if (!record.entry.enter()) {
        return false;
    }
    PyThreadState* const thread = PyThreadState_New(static_cast<PyInterpreterState*>(record.state));
    if (thread != nullptr) {
        record.visiting.store(thread);
        PyEval_AcquireThread(thread);
        deliver_all(record);
        PyThreadState_Clear(thread);
        record.visiting.store(nullptr);
        PyThreadState_DeleteCurrent();
    }
    record.entry.leave();
    if (thread == nullptr) { // out of memory: again, a little later
        constexpr timespec pause = {0, 1'000'000};
        nanosleep(&pause, nullptr);
        record.courier.notify();
    }
    return true;
}

struct stopping {
    core::interpreter_ref record;
    core::patience& patience;
};

/// A thread of its own, because the one that makes the process exit waits for others, too.
void* interrupt_until_stopped(void* argument) {
    constexpr nanoseconds for_the_code_to_end = 1'000'000'000;
    constexpr nanoseconds shortest = 1'000'000; // a run that is just beginning or ending
    constexpr nanoseconds longest = 64'000'000;
    const std::unique_ptr<stopping> task(static_cast<stopping*>(argument));
    core::interpreter& record = *task->record;
    const auto deliveries = [&] {
        return record.current.deliveries().load() + record.current_call.deliveries().load();
    };
    nanoseconds pause = shortest;
    const auto has_stopped = [&](nanoseconds until) {
        return wait_until_stopped(record, until) && record.calls.wait_until_empty(until);
    };
    bool stopped = has_stopped(0);
    bool over = false;
    const auto wait_for = [&](nanoseconds span) {
        const nanoseconds end = core::futex::now() + span;
        do {
            stopped = has_stopped(std::min(end, core::futex::now() + core::patience::look_every));
            over = !stopped && task->patience.is_over();
        } while (!stopped && !over && core::futex::now() < end);
    };
    while (!stopped && !over) {
        const std::uint32_t before = deliveries();
        record.current.ask_at_exit(PyExc_KeyboardInterrupt);
        record.current_call.ask_at_exit(PyExc_KeyboardInterrupt);
        if (!wake_courier(record)) {
            break;
        }
        do {
            wait_for(pause);
        } while (!stopped && !over && has_requests(record));
        const bool reached = deliveries() != before;
        if (!stopped && reached) {
            wait_for(for_the_code_to_end);
        }
        pause = reached ? shortest : std::min(2 * pause, longest);
    }
    return nullptr;
}

} // namespace

interruptible::interruptible(core::interpreter& record, core::current_run& run,
                             core::current_run::number mine, core::current_run::ending& how) noexcept
    : record_(record), run_(run), how_(how) {
    run_.open(mine);
    run_has_opened();
}

void interruptible::finish() {
    // Not at the process's exit, when its end is all that is wanted.
    while (open_ && !record_.stopping.load()) {
        if (compat::raise_async_exception()) {
            throw python_error{};
        }
        if (const auto how = run_.close_unless_asked()) {
            how_ = *how;
            open_ = false;
        } else {
            deliver_all(record_);
        }
    }
}

interruptible::~interruptible() {
    if (!open_) {
        return;
    }
    const bool pending = compat::async_exception_waits();
    how_ = run_.close(pending);
    if (pending) {
        compat::drop_async_exception();
    }
}

bool wake_courier(core::interpreter& record) noexcept {
    assert(core::held_locks::here() == 0);
    const std::lock_guard guard(record.courier_lock);
    if (record.courier_ended || !record.courier.start(carry, &record, 0)) {
        return false;
    }
    record.courier.notify();
    return true;
}

void rest_courier(core::interpreter& record) noexcept {
    record.courier.stop();
    if (has_requests(record)) { // meanwhile
        static_cast<void>(wake_courier(record));
    }
}

void end_courier(core::interpreter& record) noexcept {
    {
        const std::lock_guard guard(record.courier_lock);
        record.courier_ended = true;
    }
    record.courier.stop();
}

interrupted interrupt_run(const core::interpreter_ref& record, PyObject* exception) {
    core::current_run* const run = record->current.ask(exception)        ? &record->current
                                   : record->current_call.ask(exception) ? &record->current_call
                                                                         : nullptr;
    if (run == nullptr) {
        return interrupted::no_run;
    }
    if (record.get() == current_interpreter()) {
        deliver_all(*record); // its GIL is ours: no need for another thread
        // Not at the next bytecode, which may be a finalizer's, where exceptions are lost.
        const bool ours = run->is_open_on(PyThread_get_thread_ident());
        if (ours && compat::raise_async_exception()) {
            throw python_error{};
        }
        return interrupted::asked;
    }
    return wake_courier(*record)     ? interrupted::asked
           : record->entry.is_shut() ? interrupted::no_run
                                     : interrupted::no_thread;
}

void begin_stopping(const core::interpreter_ref& record, core::patience& patience) noexcept {
    record->side->begin_close();
    if (record->stopping.exchange(true)) {
        return;
    }
    pthread_t thread{};
    // Without memory or a thread for it nobody interrupts: what runs may end by itself in that time.
    std::unique_ptr<stopping> task(new (std::nothrow) stopping{record, patience});
    if (task != nullptr && pthread_create(&thread, nullptr, interrupt_until_stopped, task.get()) == 0) {
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

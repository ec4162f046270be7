#include "cpython/keyboard.hpp"

#include "cpython/interruption.hpp"
#include "cpython/waiting.hpp"

#include <csignal>
#include <memory>
#include <mutex>
#include <utility>

namespace isthmus::py {
namespace {

constexpr std::uint64_t pressed = 1;

// What the handler touches: lock-free atomics only, and a helper's notify().
/// 0: nobody is to be interrupted; else twice the number of the period, and the bit.
constinit std::atomic<std::uint64_t> period{0};
constinit std::uint64_t last_period = 0;
core::helper watch;

/// A leaf but for the lock of a current_run. Guards the next, which only the main OS thread changes.
core::short_lock scopes_lock;
constinit keyboard_scope* innermost = nullptr;

} // namespace

/// For the watch.
struct keyboard_access {
    /// Passes Ctrl-C on to the innermost run; null if there is nothing to do, or not yet.
    static core::interpreter_ref ask_innermost() {
        const std::lock_guard guard(scopes_lock);
        if (innermost == nullptr || (period.load() & pressed) == 0 ||
            !innermost->target_->current.ask_from_keyboard(innermost->run_)) {
            return nullptr;
        }
        period.fetch_and(~pressed);
        return innermost->target_;
    }

    static bool pass_on(void*) {
        if (const core::interpreter_ref asked = ask_innermost(); asked != nullptr) {
            static_cast<void>(wake_courier(*asked)); // else the run's end will tell that it was not raised
        }
        return true;
    }
};

namespace {

/// Whether SIGINT has Python's own handler, which raises KeyboardInterrupt. In the main interpreter.
bool default_handler_is_set() {
    const ref name = require(PyUnicode_FromString("_signal"));
    const ref module = ref::steal(PyImport_GetModule(name.get()));
    if (!module) {
        require(PyErr_Occurred() != nullptr ? -1 : 0);
        return false;
    }
    const ref now = require(PyObject_CallMethod(module.get(), "getsignal", "i", SIGINT));
    const ref own = optional_attribute(module.get(), "default_int_handler");
    return now.get() == own.get();
}

void notify_if_pressed() noexcept {
    if ((period.load() & pressed) != 0) {
        watch.notify();
    }
}

/// In the main interpreter, on the main OS thread: the KeyboardInterrupt of the signal that was raised in a
/// run already is no second one.
void take_noted_signal() {
    if (PyErr_CheckSignals() == 0) {
        return;
    }
    if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        throw python_error{};
    }
    PyErr_Clear();
}

} // namespace

keyboard_scope::keyboard_scope(const core::interpreter& here, core::interpreter_ref target,
                               core::current_run::number run)
    : target_(std::move(target)), run_(run) {
    if (!on_main_thread() || (!here.is_main && innermost == nullptr)) {
        return;
    }
    begins_period_ = here.is_main;
    has_own_word_ = here.is_main || target_->is_main;
    if (!begins_period_) {
        enter();
        return;
    }
    if (!default_handler_is_set()) {
        return;
    }
    arm_ctrl_c();
    if (!watch.start(keyboard_access::pass_on, nullptr, 0)) {
        return; // no thread to be had: Python's handler will run when the run returns
    }
    enter();
    // A signal that came before the period began is behind the watch.
    if (PyErr_CheckSignals() != 0) {
        pop(false);
        throw python_error{};
    }
}

keyboard_scope::~keyboard_scope() {
    pop(false);
}

void keyboard_scope::enter() noexcept {
    const std::lock_guard guard(scopes_lock);
    outer_ = std::exchange(innermost, this);
    active_ = true;
    if (has_own_word_) {
        // In the main interpreter CPython handles signals itself.
        outer_word_ = period.exchange(begins_period_ ? 2 * ++last_period : 0);
    }
}

/// True: Ctrl-C came that no run has got.
bool keyboard_scope::pop(bool left) noexcept {
    if (!std::exchange(active_, false)) {
        return false;
    }
    {
        const std::lock_guard guard(scopes_lock);
        innermost = outer_;
        if (has_own_word_) {
            left = (period.exchange(outer_word_) & pressed) != 0 || left;
        } else if (left && period.load() != 0) {
            period.fetch_or(pressed);
        }
    }
    notify_if_pressed(); // the outer run is the innermost now
    return left;
}

bool keyboard_scope::leave(const core::current_run::ending& how) {
    if (!active_) {
        return false;
    }
    const bool raised = raised_ || how.raised;
    keyboard_scope* const outer = outer_;
    const bool left = pop(how.left);
    if (!begins_period_) {
        outer->raised_ = outer->raised_ || raised;
    } else if (raised && !left) {
        take_noted_signal();
    }
    return raised;
}

void note_ctrl_c() noexcept {
    std::uint64_t seen = period.load();
    const std::uint64_t now = seen | pressed;
    while (seen != 0 && (seen | pressed) == now && !period.compare_exchange_weak(seen, now)) {
    }
    if (seen != 0) {
        watch.notify();
    }
}

void run_has_opened() noexcept {
    notify_if_pressed();
}

void forget_other_threads_runs(bool main) noexcept {
    watch.forget();
    std::destroy_at(&scopes_lock); // its holder may be the watch
    std::construct_at(&scopes_lock);
    if (!main) {
        innermost = nullptr;
        period.store(0);
    }
}

void rest_keyboard() noexcept {
    watch.stop();
}

} // namespace isthmus::py

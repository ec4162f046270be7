#include "core/current_run.hpp"

#include <memory>
#include <mutex>

namespace isthmus::core {

current_run::number current_run::next() noexcept {
    static std::atomic<number> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

void current_run::note_wishes() noexcept {
    asked_.store(wanted_.what != nullptr || keyboard_, std::memory_order_release);
}

void current_run::open(number mine) noexcept {
    const std::lock_guard guard(lock_);
    open_ = mine;
    keyboard_delivered_ = 0;
    keyboard_was_last_ = false;
}

current_run::ending current_run::close(bool pending) noexcept {
    const std::lock_guard guard(lock_);
    return close_locked(pending);
}

std::optional<current_run::ending> current_run::close_unless_asked() noexcept {
    const std::lock_guard guard(lock_);
    if (wanted_.what != nullptr || keyboard_) {
        return std::nullopt;
    }
    return close_locked(false);
}

current_run::ending current_run::close_locked(bool pending) noexcept {
    const bool too_late = pending && keyboard_was_last_;
    const ending how = {.raised = keyboard_delivered_ > (too_late ? 1U : 0U), .left = too_late || keyboard_};
    if (wanted_.run == open_) {
        wanted_ = {};
    }
    keyboard_ = false;
    open_ = 0;
    note_wishes();
    return how;
}

bool current_run::ask(const void* what) noexcept {
    const std::lock_guard guard(lock_);
    if (open_ == 0) {
        return false;
    }
    wanted_ = {what, open_};
    note_wishes();
    return true;
}

bool current_run::ask_from_keyboard(number run) noexcept {
    const std::lock_guard guard(lock_);
    if (open_ != run) {
        return false;
    }
    keyboard_ = true;
    note_wishes();
    return true;
}

void current_run::ask_at_exit(const void* what) noexcept {
    const std::lock_guard guard(lock_);
    wanted_ = {what, 0};
    note_wishes();
}

bool current_run::take(request& taken) noexcept {
    const std::lock_guard guard(lock_);
    const wish first = wanted_;
    wanted_ = {};
    if (first.what != nullptr && (first.run != 0 ? first.run == open_ : thread() != 0)) {
        taken = {first.what, first.run != 0 ? source::caller : source::exit};
    } else if (keyboard_) {
        keyboard_ = false;
        taken = {nullptr, source::keyboard};
    } else {
        note_wishes(); // not before: what was taken last is delivered by now
        return false;
    }
    return true;
}

void current_run::delivered(source from) noexcept {
    keyboard_was_last_ = from == source::keyboard;
    keyboard_delivered_ += keyboard_was_last_ ? 1 : 0;
    // Sequentially consistent: either a waiter that enrolls sees the count, or whoever wakes it finds it.
    deliveries_.fetch_add(1, std::memory_order_seq_cst);
}

void current_run::forget_other_threads(unsigned long forking) noexcept {
    std::destroy_at(&lock_); // its holder may be one of them
    std::construct_at(&lock_);
    wanted_ = {};
    keyboard_ = false;
    asked_.store(false, std::memory_order_relaxed);
    if (thread() != forking) {
        open_ = 0;
        end();
    }
}

} // namespace isthmus::core

#include "core/registry.hpp"

#include "core/conduit.hpp"
#include "core/death_notice.hpp"
#include "core/forking.hpp"
#include "core/immortal.hpp"
#include "core/posted_call.hpp"
#include "core/shared_memory.hpp"
#include "core/stats.hpp"
#include "core/view.hpp"

#include <algorithm>
#include <array>
#include <pthread.h>

namespace isthmus::core {

registry& interpreters() noexcept {
    return immortal<registry>();
}

namespace {

std::array<helper, max_windows>& helpers() noexcept {
    static std::array<helper, max_windows> all;
    return all;
}

} // namespace

helper& helper_of(const window& w) noexcept {
    return helpers()[w.index];
}

helper& helper_of(interpreter& of) noexcept {
    return of.owns_view() ? helper_of(*of.view) : of.service;
}

void registry::prepare_for_fork() {
    survive_forks();
    static constexpr auto unlock_all = [] {
        for (const interpreter_ref& each : interpreters().records_) {
            each->lent_lock.unlock();
        }
        interpreters().lock_.unlock();
    };
    pthread_atfork(
        [] {
            interpreters().lock_.lock();
            for (const interpreter_ref& each : interpreters().records_) {
                each->lent_lock.lock();
            }
        },
        unlock_all,
        [] {
            // Only the forking thread exists in the child.
            for (helper& each : helpers()) {
                each.forget();
            }
            for (const interpreter_ref& each : interpreters().records_) {
                each->service.forget();
                each->entry.forget_other_threads();
                statistics::add(counter::calls_ended, each->calls.forget_other_threads());
                each->courier.forget();
                each->visiting.store(nullptr);
                std::destroy_at(&each->courier_lock);
                std::construct_at(&each->courier_lock);
                // CPython's ids of threads are those of POSIX.
                const auto forking = static_cast<unsigned long>(pthread_self());
                each->current.forget_other_threads(forking);
                each->current_call.forget_other_threads(forking);
                std::destroy_at(&each->calls_over); // its lock's holder, and who waits, may be among them
                std::construct_at(&each->calls_over);
                tell_if_calls_are_over(*each);
            }
            unlock_all();
        });
}

interpreter_ref registry::attach(void* state, std::int64_t number, bool own_gil, bool is_main,
                                 bool created_here) {
    auto record = std::make_shared<interpreter>();
    record->side = party::create();
    record->death = death_notice::create();
    record->state = state;
    record->number = number;
    record->own_gil = own_gil;
    record->is_main = is_main;
    record->created_here = created_here;
    record->handles.store(created_here ? 1 : 0);
    const std::lock_guard guard(lock_);
    records_.reserve(records_.size() + 1);
    record->identity = ++last_identity_;
    if (!own_gil || is_main) {
        // Strings wander between interpreters under one GIL, so they share one window.
        const auto same =
            std::ranges::find_if(records_, [](const auto& r) { return !r->own_gil || r->is_main; });
        record->view = same != records_.end() ? (*same)->view : memory().take_window();
    } else {
        record->view = memory().take_window();
    }
    if (record->view != nullptr) {
        record->view->wake.store([](window& w) { helper_of(w).notify(); }, std::memory_order_release);
    }
    records_.push_back(record);
    count_.fetch_add(1, std::memory_order_acq_rel);
    epoch_.fetch_add(1, std::memory_order_acq_rel);
    return record;
}

void registry::name_it(interpreter& record, std::optional<std::string> name) noexcept {
    const std::lock_guard guard(lock_);
    record.name = std::move(name);
}

interpreter_ref registry::find(const void* state, std::int64_t number) const {
    const std::lock_guard guard(lock_);
    const auto place = std::ranges::find_if(
        records_, [&](const auto& r) { return r->state == state && r->number == number; });
    return place != records_.end() ? *place : nullptr;
}

interpreter_ref registry::find_number(std::int64_t number) const {
    const std::lock_guard guard(lock_);
    const auto place = std::ranges::find_if(records_, [&](const auto& r) { return r->number == number; });
    return place != records_.end() ? *place : nullptr;
}

interpreter_ref registry::find_identity(std::uint64_t identity) const {
    const std::lock_guard guard(lock_);
    const auto place = std::ranges::find_if(records_, [&](const auto& r) { return r->identity == identity; });
    return place != records_.end() ? *place : nullptr;
}

interpreter_ref registry::find_party(party_id who) const {
    const std::lock_guard guard(lock_);
    const auto place = std::ranges::find_if(records_, [&](const auto& r) { return r->side->id() == who; });
    return place != records_.end() ? *place : nullptr;
}

interpreter* registry::server_of(const window& view) const noexcept {
    const std::lock_guard guard(lock_);
    interpreter* server = nullptr;
    for (const auto& record : records_) {
        if (record->view == &view && record->open() && (server == nullptr || record->is_main)) {
            server = record.get();
        }
    }
    return server;
}

interpreter_ref registry::next_after(std::uint64_t identity) const noexcept {
    const std::lock_guard guard(lock_);
    const auto place = std::ranges::upper_bound(records_, identity, {}, &interpreter::identity);
    return place != records_.end() ? *place : nullptr;
}

std::vector<interpreter_ref> registry::all() const {
    const std::lock_guard guard(lock_);
    return records_;
}

void registry::gone(const interpreter_ref& record) {
    if (record->now.exchange(interpreter::phase::gone, std::memory_order_acq_rel) ==
        interpreter::phase::gone) {
        return;
    }
    record->side->begin_close();
    party_died_everywhere(*record->side);
    bool last_of_view = record->view != nullptr;
    {
        const std::lock_guard guard(lock_);
        std::erase(records_, record);
        for (const auto& other : records_) {
            last_of_view = last_of_view && other->view != record->view;
        }
        count_.fetch_sub(1, std::memory_order_acq_rel);
        epoch_.fetch_add(1, std::memory_order_acq_rel);
    }
    end_errands(*record);
    received_view::settle(*record);
    memory_hold::settle(*record);
    // Main's window stays while main lives, whichever interpreters under its GIL come and go.
    if (last_of_view) {
        memory().owner_gone(*record->view);
    }
    record->death->give();
}

} // namespace isthmus::core

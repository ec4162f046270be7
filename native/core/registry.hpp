/// Every interpreter the runtime knows: its identity, window, gate and helper. Process-wide, never destroyed.
///
/// Records are shared: Python objects, messages in flight and the registry itself hold them, so a record
/// outlives its interpreter and can answer "it is gone". Interpreter states are opaque pointers here; the
/// cpython layer gives them.
#pragma once

#include "core/current_run.hpp"
#include "core/errand.hpp"
#include "core/gate.hpp"
#include "core/helper.hpp"
#include "core/lock.hpp"
#include "core/memory.hpp"
#include "core/notice.hpp"
#include "core/party.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace isthmus::core {

class death_notice;
class loan;
class memory_hold;
class received_view;

/// One interpreter. Members without a note are constant after `attach`.
struct interpreter {
    enum class phase : std::uint8_t {
        open,    ///< may be entered
        closing, ///< being closed, or its atexit has run: no new entry, its waits fail
        gone     ///< its interpreter state no longer exists
    };

    std::uint64_t identity = 0;      ///< ours, never reused
    std::int64_t number = 0;         ///< CPython's id; starts again at 0 when CPython is initialised again
    std::optional<std::string> name; ///< for people; given by `name_it` before Python knows the record
    std::atomic<const char*> whence{"unknown"}; ///< who made it, in CPython's words; static
    void* state = nullptr;                      ///< PyInterpreterState; never read once `gone`
    void* anchor = nullptr;      ///< a thread state that keeps `state` from having none; under its GIL
    std::uint64_t anchor_id = 0; ///< CPython's id of that thread state
    void* kept_names = nullptr;  ///< layer cpython's; under its GIL
    bool is_main = false;
    bool created_here = false; ///< isthmus made it, so isthmus ends it
    bool own_gil = false;
    window* view = nullptr; ///< null: no window was left, or no arena; everything is copied. Main's is shared
                            ///< by all interpreters under main's GIL
    std::shared_ptr<party> side; ///< how channels know it
    gate entry;                  ///< guards every entry by a thread that does not belong to it
    std::atomic<phase> now{phase::open};
    std::atomic<bool> twins_allowed{true}; ///< false: its guard's self-test failed; it receives copies
    std::atomic<std::uint32_t> handles{0}; ///< live Interpreter objects, handles in flight, and one its maker
                                           ///< holds until it has an object
    futex::word runs{0};                   ///< runs under way by isthmus
    current_run current;                   ///< the one of them that runs code, and what it is asked
    helper courier; ///< delivers what is asked; apart from `service`, which may be busy with code of the
                    ///< user's
    std::mutex courier_lock;              ///< guards the starting of the courier, and the next
    bool courier_ended = false;           ///< the interpreter is about to end: no courier any more
    std::atomic<void*> visiting{nullptr}; ///< the courier's thread state, while that is inside
    std::atomic<bool> exited{false};      ///< its exit handler has run
    std::atomic<bool> close_left{false};  ///< its closer gave up waiting: the next one goes on
    std::atomic<bool> ended_here{false};  ///< a closer ends it
    std::atomic<bool> stopping{false};    ///< the process exits: its runs and calls are interrupted
    errand_inbox errands;                 ///< any thread posts, its helper runs them
    bool runs_errands = false;            ///< a thread of its own does, for want of a helper; under its GIL
    gate calls;               ///< who runs a posted call is inside; shut once it runs no more of them
    notice calls_over;        ///< given once `calls` is shut and nobody inside
    current_run current_call; ///< the posted call that runs, and what it is asked
    std::shared_ptr<death_notice> death; ///< given once it is gone
    helper service;                      ///< its helper, unless a window of its own brings one
    std::atomic<std::uint32_t> loans{0}; ///< buffers its exporters have lent and will get back
    std::atomic<void*> helping{nullptr}; ///< its helper's thread state, while that is inside
    std::atomic<bool> resting{false};    ///< alone: its helper ends once nothing is lent
    memory_hold* holds = nullptr;        ///< shared memory that its objects hold, any order; under its GIL
    received_view* received = nullptr;   ///< views that live in it, any order; under its GIL, then lent_lock
    short_lock lent_lock;                ///< a leaf; guards the two below
    loan* lent = nullptr;                ///< its loans that somebody refers to, orphans included
    bool settled = false;                ///< it is gone, and what it had received was looked at

    /// Whether its window is nobody else's; main's counts as main's.
    [[nodiscard]] bool owns_view() const noexcept { return view != nullptr && (own_gil || is_main); }
    [[nodiscard]] bool open() const noexcept { return now.load(std::memory_order_acquire) == phase::open; }
};

using interpreter_ref = std::shared_ptr<interpreter>;

class registry {
  public:
    /// Registers what keeps the registry usable in a forked child. Once, at the runtime's start.
    static void prepare_for_fork();

    /// A new record for `state`, with a window of its own, or main's if it runs under main's GIL. May throw.
    interpreter_ref attach(void* state, std::int64_t number, bool own_gil, bool is_main, bool created_here);

    /// Once, by who made it. Those that look at the registry may see the record without it before.
    void name_it(interpreter& record, std::optional<std::string> name) noexcept;

    /// The record of the interpreter at `state` that has CPython's id `number`; null if none is attached.
    [[nodiscard]] interpreter_ref find(const void* state, std::int64_t number) const;
    [[nodiscard]] interpreter_ref find_number(std::int64_t number) const;
    [[nodiscard]] interpreter_ref find_identity(std::uint64_t identity) const;
    [[nodiscard]] interpreter_ref find_party(party_id who) const;
    [[nodiscard]] std::vector<interpreter_ref> all() const;
    /// Calls `visit(record)` for each that is there when its turn comes, oldest first. Needs no memory, and
    /// no lock is held: in there they may come and go.
    template <typename Visit> void for_each(Visit visit) const {
        for (interpreter_ref each = next_after(0); each != nullptr; each = next_after(each->identity)) {
            visit(each);
        }
    }
    /// For a look at all of them, oldest first. Under the lock: `visit` takes none and calls nothing.
    template <typename Visit> void inspect(Visit visit) const {
        const std::lock_guard guard(lock_);
        for (const interpreter_ref& each : records_) {
            visit(*each);
        }
    }
    /// The interpreter that serves a window's inbox: its owner; main for the window that interpreters under
    /// main's GIL share.
    [[nodiscard]] interpreter* server_of(const window& view) const noexcept;
    /// Records that are not gone.
    [[nodiscard]] std::size_t count() const noexcept { return count_.load(std::memory_order_acquire); }

    /// The interpreter state no longer exists: channels learn of the death, its memory is settled, the record
    /// leaves.
    void gone(const interpreter_ref& record);

    /// Changes whenever `find` may answer differently: for caches.
    [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

  private:
    /// The oldest that is younger than the one with this identity, or null.
    [[nodiscard]] interpreter_ref next_after(std::uint64_t identity) const noexcept;

    mutable counted_mutex lock_;
    std::vector<interpreter_ref> records_; ///< by identity
    std::uint64_t last_identity_ = 0;
    std::atomic<std::size_t> count_{0};
    std::atomic<std::uint64_t> epoch_{1};
};

[[nodiscard]] registry& interpreters() noexcept;

/// The helper of a window. Static storage: a poster may come late.
[[nodiscard]] helper& helper_of(const window& w) noexcept;
/// The helper that runs the errands of an interpreter: its window's, or one of its own if it has none or
/// shares main's.
[[nodiscard]] helper& helper_of(interpreter& of) noexcept;

} // namespace isthmus::core

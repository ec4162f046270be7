/// What channels and queues have in common: a wait may park in several of them, ends of them travel inside
/// messages, an event loop may watch them.
///
/// Thread rules: every function may be called on any thread, with or without a GIL; none sleeps. Ownership:
/// shared; whoever calls keeps the conduit and the party alive until the call returns.
#pragma once

#include "core/message.hpp"
#include "core/parking.hpp"
#include "core/party.hpp"
#include "core/readiness.hpp"
#include "core/waiter.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace isthmus::core {

/// A queue's two operations are called by the same names.
enum class end : std::uint8_t { recv, send };

class conduit : public std::enable_shared_from_this<conduit> {
  public:
    conduit(const conduit&) = delete;
    conduit& operator=(const conduit&) = delete;
    virtual ~conduit();

    /// Tries to receive into `m` (what it held is dropped) or to send `m` (taken only if the outcome is ok).
    /// ok, would_block, or why it can't go on: closed, released, poisoned. May throw std::bad_alloc.
    [[nodiscard]] virtual outcome attempt(end which, party& by, message& m) = 0;
    /// Parks `place` if the operation would block, which is the answer then. ok: it would not, try again.
    /// Else why it can't go on. What the same waiter has parked already counts as not there.
    [[nodiscard]] virtual outcome park(end which, party& by, parked& place) = 0;
    /// Takes back what park() parked, unless it was completed already. Afterwards nobody looks at `place`.
    virtual void unpark(end which, parked& place) noexcept = 0;

    /// One more, one less live object of that end in that party.
    virtual void add_holder(end which, party& by) = 0;
    virtual void drop_holder(end which, party& by) noexcept = 0;
    /// An end inside a message, or otherwise on its way, counts as an open holder that belongs to nobody. To
    /// move an end, add the new claim before dropping the old one.
    virtual void add_in_flight(end which) noexcept = 0;
    virtual void drop_in_flight(end which) noexcept = 0;
    /// All that this party had here ends by its death.
    virtual void party_died(party& who) noexcept = 0;

    /// A descriptor that is readable while `which` would not block for this party, its end by close included.
    /// It stays ours: valid until the party drops its last holder of that end. Throws std::system_error,
    /// std::bad_alloc.
    [[nodiscard]] int watch(end which, party& by);

    /// What the collector of cycles needs to know, taken under all locks at once (cycles.hpp).
    struct claims {
        std::uint32_t holders = 0;
        std::uint32_t in_flight = 0;
        std::vector<conduit*> carried; ///< once for each end that lies buffered here
    };
    [[nodiscard]] virtual claims survey() = 0;
    /// How many claims were ever added: a survey made before the last one is outdated. Any thread, no lock.
    [[nodiscard]] std::uint64_t times_claimed() const noexcept {
        return times_claimed_.load(std::memory_order_seq_cst);
    }
    /// Nobody can reach it any more: ends it for everybody and drops what is buffered.
    virtual void abandon() noexcept = 0;

    // For a fork (forking.hpp).
    virtual void lock_all() noexcept = 0;
    virtual void unlock_all() noexcept = 0;
    /// In the child, under all locks.
    void forget_other_threads() noexcept;

  protected:
    conduit() noexcept;

    /// To be called after every operation that may have changed readiness, with no lock held.
    void note_change() noexcept {
        if (watched_.load(std::memory_order_relaxed)) [[unlikely]] {
            refresh();
        }
    }
    /// To be called where a claim is added, a holder or an end in flight, under the locks.
    void note_claim() noexcept { times_claimed_.fetch_add(1, std::memory_order_seq_cst); }
    /// For those who hold all locks already.
    void refresh_under_locks() noexcept;
    void drop_watch_under_locks(end which, party_id who) noexcept;

    struct locked_body {
        void (*run)(conduit& of, void* context);
        void* context;
    };

  private:
    friend class suspect_list;
    struct watch_entry {
        end which;
        party_id who;
        readiness level;
    };
    /// Takes all locks of the conduit for as long as `body` runs.
    virtual void under_locks(locked_body body) = 0;
    virtual void forget_parked_under_locks() noexcept = 0;
    [[nodiscard]] virtual bool ready_under_locks(end which, party_id who) noexcept = 0;
    void refresh() noexcept;

    std::atomic<std::uint64_t> times_claimed_{0};
    std::atomic<bool> watched_{false}; ///< there are watches; changes under all locks
    std::vector<watch_entry> watches_; ///< under all locks
    // Among the suspects (cycles.hpp), under their guard. No allocation: a suspicion can't be forgotten.
    bool suspected_ = false;
    conduit* next_suspect_ = nullptr;
    conduit* previous_suspect_ = nullptr;
};

/// An end on its way inside a message.
struct travelling_end final : attachment {
    travelling_end(std::shared_ptr<conduit> c, end w) noexcept;
    ~travelling_end() override;
    [[nodiscard]] conduit* carries() const noexcept override { return of.get(); }
    [[nodiscard]] std::unique_ptr<attachment> again() const override {
        return std::make_unique<travelling_end>(of, which);
    }

    std::shared_ptr<conduit> of;
    end which;
};

/// Tells every live channel and queue that this party is gone. After its begin_close(), when none of its
/// threads is in an operation any more.
void party_died_everywhere(party& who) noexcept;

} // namespace isthmus::core

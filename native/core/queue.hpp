/// A queue of PEP 734: first in, first out, any number of parties at either end, no associations. What a dead
/// party left in it becomes of as each message says (message::if_unbound).
///
/// Thread rules: as channel's. One lock; nothing is called under it that can block, destroy a message or take
/// a GIL.
///
/// Named invariants:
/// Q1 "receivers wait only for nothing": while a receiver is parked, no message lies here.
/// Q2 "senders wait only for room": while a sender is parked the queue is full. Whoever makes room admits the
/// senders parked first; new ones wait behind them.
#pragma once

#include "core/association.hpp"
#include "core/conduit.hpp"
#include "core/directory.hpp"
#include "core/lock.hpp"

#include <deque>

namespace isthmus::core {

using queue_id = std::uint64_t;

class queue final : public conduit {
  public:
    /// `maxsize` of 0 or less: unbounded. `fallback`: what users put with unless they say otherwise.
    [[nodiscard]] static std::shared_ptr<queue> create(std::int64_t maxsize, unbound fallback);
    /// All queues that somebody still refers to.
    [[nodiscard]] static directory<queue>& all() noexcept;
    ~queue() override;

    [[nodiscard]] queue_id id() const noexcept { return id_; }
    /// As it was given.
    [[nodiscard]] std::int64_t maxsize() const noexcept { return maxsize_; }
    [[nodiscard]] unbound fallback() const noexcept { return fallback_; }

    /// Without waiting: ok, would_block, closed (shut down; for recv: and nothing left).
    [[nodiscard]] outcome attempt(end which, party& by, message& m) override;
    /// Waits; besides the above timed_out, interrupted, party_closing. The message was not taken then.
    [[nodiscard]] outcome put(party& by, message& m, futex::deadline until, wait_site& site);
    [[nodiscard]] outcome get(party& by, message& out, futex::deadline until, wait_site& site);
    [[nodiscard]] outcome park(end which, party& by, parked& place) override;
    void unpark(end which, parked& place) noexcept override;

    /// As queue.Queue: no more puts; gets until it is empty, or, if `immediate`, none. Idempotent.
    void shut_down(bool immediate) noexcept;
    [[nodiscard]] bool is_shut_down() noexcept;
    /// Messages and markers that lie here.
    [[nodiscard]] std::size_t size() noexcept;
    [[nodiscard]] bool full() noexcept;
    [[nodiscard]] std::size_t parked_getters() noexcept;
    [[nodiscard]] std::size_t parked_putters() noexcept;
    /// For inspection: all of one moment. Changes nothing; may throw std::bad_alloc.
    struct portrait {
        std::uint64_t put = 0;     ///< messages put in or handed over
        std::uint64_t got = 0;     ///< of these, taken out
        std::uint64_t dropped = 0; ///< of these, dropped: by a shutdown, or with the party that had put them
        std::size_t items = 0;     ///< the rest, and markers of what a dead party had put
        std::size_t waiting_getters = 0;
        std::size_t waiting_putters = 0;
        bool shut = false;
        std::vector<party_id> users; ///< hold the queue
    };
    [[nodiscard]] portrait draw();

    /// How long the next get or put that has to wait spins first.
    [[nodiscard]] futex::nanoseconds spins(end which) const noexcept {
        return (which == end::recv ? get_spin_ : put_spin_).get();
    }

    void add_holder(end which, party& by) override;
    void drop_holder(end which, party& by) noexcept override;
    void add_in_flight(end which) noexcept override;
    void drop_in_flight(end which) noexcept override;
    void party_died(party& who) noexcept override;
    [[nodiscard]] claims survey() override;
    void abandon() noexcept override;
    void lock_all() noexcept override { lock_.lock(); }
    void unlock_all() noexcept override { lock_.unlock(); }

  private:
    struct item {
        message what;
        party_id from; ///< 0 once a marker
    };

    queue(queue_id id, std::int64_t maxsize, unbound fallback)
        : id_(id), maxsize_(maxsize), fallback_(fallback) {}

    [[nodiscard]] outcome put_under_lock(party_id by, message& m, wakeup& owed);
    [[nodiscard]] outcome get_under_lock(message& out, wakeup& owed);
    [[nodiscard]] bool full_under_lock() const noexcept {
        return maxsize_ > 0 && items_.size() >= static_cast<std::uint64_t>(maxsize_);
    }
    [[nodiscard]] bool hand_over_under_lock(message& m, wakeup& owed) noexcept;
    [[nodiscard]] bool admit_one_under_lock(wakeup& owed) noexcept;
    void end_parked_under_lock(end which) noexcept;
    [[nodiscard]] std::size_t unbind_some_under_lock(party_id who, std::span<message> dropped) noexcept;
    void under_locks(locked_body body) override;
    void forget_parked_under_locks() noexcept override {
        getters_.forget();
        putters_.forget();
    }
    [[nodiscard]] bool ready_under_locks(end which, party_id who) noexcept override;
    [[nodiscard]] parking_queue& waiting(end which) noexcept {
        return which == end::recv ? getters_ : putters_;
    }

    const queue_id id_;
    const std::int64_t maxsize_;
    const unbound fallback_;

    spin_budget get_spin_;
    spin_budget put_spin_;
    short_lock lock_;            ///< guards all below
    std::deque<item> discarded_; ///< where items go at an immediate shutdown: that may not need memory
    std::deque<item> items_;
    parking_queue getters_;
    parking_queue putters_;
    association users_; ///< holders and ends in flight only
    bool shut_ = false;
    std::uint64_t put_ = 0;
    std::uint64_t got_ = 0;
    std::uint64_t dropped_ = 0;
};

} // namespace isthmus::core

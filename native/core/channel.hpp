/// A channel: messages from any party to any party, first in, first out, with PEP 554's association rules.
///
/// Thread rules: every function may be called on any thread; `send` and `recv` may sleep, so the caller has
/// released its GIL; the others never sleep and may be called with a GIL held. Operations may throw
/// std::bad_alloc, with nothing done. Ownership: shared; whoever calls keeps the channel and the party alive
/// until the call returns.
///
/// Structure: senders append to `in_` under the tail lock; receivers take from `out_` under the head lock
/// and, when that is empty, swap it for the whole of `in_`. So the two sides meet once per batch, not once
/// per message.
///
/// Lock order: head, then tail; never two channels' locks; the party's lock never with either. Under them
/// nothing is called that can block, destroy a message or take a GIL.
///
/// Named invariants:
/// C1 "receivers wait only for nothing": while a receiver is parked, `in_` and `out_` are empty and no sender
///    is parked, but for one of the same select. So handing a message straight to a parked receiver keeps the
///    order.
/// C2 "senders wait only for room": while a sender is parked and memory can be had, the buffer is full
///    (capacity 0: always). Whoever makes room admits the senders parked first; new ones queue behind them.
/// C3 "state under both": who is associated, closed, dead changes only with both locks held, and such a
/// change
///    re-examines every parked waiter before it lets go. So either lock suffices to read it, nobody parks on
///    an outdated answer, and no waiter is left behind.
/// C4 "nothing enters a closed channel": `closed_` is set under both locks with the buffer empty.
#pragma once

#include "core/association.hpp"
#include "core/backlog.hpp"
#include "core/conduit.hpp"
#include "core/directory.hpp"
#include "core/lock.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace isthmus::core {

using channel_id = std::uint64_t;

class channel final : public conduit {
  public:
    /// `capacity`: 0 is a rendezvous, nullopt unbounded.
    [[nodiscard]] static std::shared_ptr<channel> create(std::optional<std::size_t> capacity);
    /// All channels that somebody still refers to.
    [[nodiscard]] static directory<channel>& all() noexcept;
    ~channel() override;

    [[nodiscard]] channel_id id() const noexcept { return id_; }
    [[nodiscard]] std::optional<std::size_t> capacity() const noexcept { return capacity_; }

    /// Takes `m` only if the outcome is ok; else it is untouched. At capacity 0 it needs a parked receiver.
    /// ok, would_block, closed, released, poisoned.
    [[nodiscard]] outcome try_send(party& by, message& m);
    /// Waits for room (at capacity 0: for a receiver to take it). Anything but ok: not received, still the
    /// caller's.
    [[nodiscard]] outcome send(party& by, message& m, futex::deadline until, wait_site& site);
    /// What `out` held is dropped. ok, would_block, closed, released, poisoned.
    [[nodiscard]] outcome try_recv(party& by, message& out);
    [[nodiscard]] outcome recv(party& by, message& out, futex::deadline until, wait_site& site);

    /// Sends from the front of `offered` what needs no waiting; `sent` counts them, also when it throws. ok
    /// if that is all, else why the next one was not sent.
    [[nodiscard]] outcome try_send_many(party& by, std::span<message> offered, std::size_t& sent);
    /// Receives into the front of `room` (of empty messages) what needs no waiting; `received` counts them.
    /// ok if there was any, else why not.
    [[nodiscard]] outcome try_recv_many(party& by, std::span<message> room, std::size_t& received);

    [[nodiscard]] outcome attempt(end which, party& by, message& m) override;
    [[nodiscard]] outcome park(end which, party& by, parked& place) override;
    void unpark(end which, parked& place) noexcept override;

    /// Losing the last holder drops the party's association.
    void add_holder(end which, party& by) override;
    void drop_holder(end which, party& by) noexcept override;
    void add_in_flight(end which) noexcept override;
    void drop_in_flight(end which) noexcept override;
    void party_died(party& who) noexcept override;
    [[nodiscard]] claims survey() override;
    void abandon() noexcept override;
    void lock_all() noexcept override;
    void unlock_all() noexcept override;
    /// True the first time for this party and end. Ends the party's waits on it with `released`.
    bool close(end which, party& by);
    /// From now on every operation of anybody, current waits included, ends with `poisoned`; what is buffered
    /// is dropped. `reason` is the caller's and comes back from poison(). ok the first time; else why this
    /// party can't use that end any more.
    [[nodiscard]] outcome poison(end which, party& by, std::string reason);
    /// Null: not poisoned.
    [[nodiscard]] std::shared_ptr<const std::string> poison() noexcept;

    struct statistics {
        std::uint64_t sent = 0;     ///< messages put in or handed over
        std::uint64_t received = 0; ///< of these, taken out
        std::uint64_t dropped = 0;  ///< of these, dropped because nobody could receive them any more
        std::size_t buffered = 0;   ///< the rest
        std::uint32_t waiting_receivers = 0;
        std::uint32_t waiting_senders = 0;
    };
    [[nodiscard]] statistics look() noexcept;

    /// For inspection: all of one moment. Changes nothing; may throw std::bad_alloc.
    struct portrait {
        statistics counts;
        bool closed = false;
        bool poisoned = false;
        std::vector<party_id> receivers; ///< associated with the end
        std::vector<party_id> senders;
    };
    [[nodiscard]] portrait draw();

    /// No party can send or receive any more, and nothing is left to be received; or it is poisoned.
    [[nodiscard]] bool is_closed() noexcept;
    /// This party, which is not closing, is about to lose its last holder of an end that it uses, has not
    /// closed, and could go on using.
    [[nodiscard]] bool is_last_use(end which, const party& by) noexcept;
    /// This party has closed that end.
    [[nodiscard]] bool is_closed(end which, const party& by) noexcept;
    /// Ids of the parties associated with that end.
    [[nodiscard]] std::vector<party_id> interpreters(end which);

    /// Inspection; exact only while nobody else uses the channel.
    [[nodiscard]] std::size_t size() noexcept;
    [[nodiscard]] std::uint32_t parked_receivers() const noexcept;
    [[nodiscard]] std::uint32_t parked_senders() const noexcept;

  private:
    /// Holds both locks, taken in their order.
    class both_locks {
      public:
        explicit both_locks(channel& of) noexcept : head_(of.head_), tail_(of.tail_) {}

      private:
        std::lock_guard<short_lock> head_;
        std::lock_guard<short_lock> tail_;
    };
    using parked_count = std::atomic<std::uint32_t>;

    channel(channel_id id, std::optional<std::size_t> capacity) noexcept : id_(id), capacity_(capacity) {}

    [[nodiscard]] association& side(end which) noexcept { return which == end::recv ? receivers_ : senders_; }

    /// Tries once; with `self`, parks it if that would block. Then, for a send, the message lies in its slot.
    [[nodiscard]] outcome send_or_park(party_id by, message& m, parked_operation* self);
    [[nodiscard]] outcome recv_or_park(party_id by, message& out, parked_operation* self);
    [[nodiscard]] bool worth_gathering() noexcept;

    // The steps of an operation; the locks that must be held are in the name.
    [[nodiscard]] bool may_send_under_tail(party_id by) noexcept;
    [[nodiscard]] bool may_recv_under_head(party_id by) noexcept;
    [[nodiscard]] outcome send_under_both(party_id by, message& m, wakeup& owed);
    [[nodiscard]] outcome recv_under_both(party_id by, message& out, wakeup& owed);
    [[nodiscard]] outcome offer_under_tail(message& m, wakeup& owed);
    [[nodiscard]] outcome recv_gathered(party& by, message& out);
    [[nodiscard]] bool take_buffered_under_head(message& out) noexcept;
    void refill_under_both(wakeup& owed) noexcept;
    [[nodiscard]] bool hand_over_under_tail(message& m, wakeup& owed) noexcept;
    [[nodiscard]] bool take_from_sender_under_both(message& out, wakeup& owed) noexcept;
    /// Whether the operation would not block. What `who` has parked counts as not there.
    [[nodiscard]] bool possible_under_both(end which, const waiter* who) noexcept;
    [[nodiscard]] bool full_under_tail() noexcept;
    [[nodiscard]] statistics look_under_both() const noexcept;

    // Why this party can't go on using its end; ok: it can. For recv: given that nothing is buffered.
    [[nodiscard]] outcome why_send_ends_under_both(party_id by) const noexcept;
    [[nodiscard]] outcome why_recv_ends_under_both(party_id by) const noexcept;
    [[nodiscard]] outcome refusal_under_both(const association& own, party_id by) const noexcept;
    [[nodiscard]] bool finished_under_both() const noexcept;

    void unpark_under_tail(end which, parked& p) noexcept;
    void park_under_both(end which, parked& p) noexcept;
    outcome wait_parked(end which, parked& p, party& by, futex::deadline until, wait_site& site) noexcept;

    /// To be called after every change of state: draws its consequences (C3, C4). What it takes out of the
    /// buffer must be destroyed after the locks are released.
    void settle_under_both(backlog& dropped) noexcept;
    void drop_buffered_under_both(backlog& dropped) noexcept;
    void end_parked_under_both(end which) noexcept;
    [[nodiscard]] bool unheld_under_both() const noexcept;
    void under_locks(locked_body body) override;
    void forget_parked_under_locks() noexcept override;
    [[nodiscard]] bool ready_under_locks(end which, party_id who) noexcept override;

    const channel_id id_;
    const std::optional<std::size_t> capacity_;

    // Rarely changes: written under both locks, read under either (C3).
    association receivers_;
    association senders_;
    bool closed_ = false;
    std::shared_ptr<const std::string> poison_;

    /// Length of waiting_senders_; written under tail, grows only under both. A line of its own: every
    /// receive reads it, and must not take the senders' line from them.
    alignas(64) parked_count parked_senders_{0};

    // The receivers' cache line.
    alignas(64) short_lock head_;
    /// What the last batch taken from `in_` was, unless waiting for it did not pay: messages that lie there
    /// without anybody having waited are a stream's, and it pays to let more gather. A hint, read without a
    /// lock.
    enum class batch : std::uint8_t { none, one, several };
    std::atomic<batch> last_batch_{batch::none};
    std::atomic<std::uint32_t> waits_{0}; ///< receives that did not gather; a hint as well
    party_id welcome_receiver_ = 0; ///< a party that may receive without another look at the state; head
    backlog out_;                   ///< head
    spare_chunks emptied_;          ///< head
    /// Messages taken from the buffer so far. Written under head; senders read it when the buffer looks full.
    std::atomic<std::uint64_t> received_{0};
    spin_budget recv_spin_;
    spin_budget send_spin_;

    // The senders' cache line: all that sending to a parked receiver or into the buffer needs.
    alignas(64) short_lock tail_;
    parked_count parked_receivers_{0}; ///< length of waiting_receivers_; written under tail
    party_id welcome_sender_ = 0;      ///< like welcome_receiver_; tail
    parking_queue waiting_receivers_;  ///< linked under both, unlinked under tail
    backlog in_;                       ///< tail
    std::uint64_t sent_ = 0;           ///< messages put into the buffer so far; tail
    // What bounded channels and a full chunk need besides.
    std::uint64_t received_seen_ = 0; ///< received_ when last looked at; tail
    std::uint64_t handed_over_ = 0;   ///< messages that passed by the buffer; tail
    std::uint64_t dropped_ = 0;       ///< of those counted in received_, dropped unread; both
    spare_chunks spares_;             ///< tail
    parking_queue waiting_senders_;   ///< like waiting_receivers_
};

} // namespace isthmus::core

/// An inbox: a lock-free list that only its owner drains (design section 6). One per window, for releases of
/// slots, and one per interpreter, for errands.
///
/// Posting: any thread, no GIL, no allocation, never blocks. Draining: one thread at a time, under the
/// owner's GIL. One drain does not prove the inbox empty: a poster may have claimed its release and not
/// pushed it yet.
#pragma once

#include <atomic>
#include <cstddef>

namespace isthmus::core {

/// Base of what can be posted. A node is in at most one inbox, at most once (invariant 6: the poster claimed
/// it first).
struct inbox_node {
    std::atomic<inbox_node*> next_posted{nullptr};
};

class inbox {
  public:
    enum class posted { first, behind_others, refused };

    /// `first`: the inbox was empty, its owner may need waking. `refused`: closed for good, the caller
    /// settles the node.
    posted post(inbox_node& node) noexcept {
        count_.fetch_add(1, std::memory_order_relaxed);
        inbox_node* head = head_.load(std::memory_order_relaxed);
        do {
            if (head == &closed_) {
                count_.fetch_sub(1, std::memory_order_relaxed);
                return posted::refused;
            }
            node.next_posted.store(head, std::memory_order_relaxed);
            // Release: the drainer must see what the poster did before (the reads of a twin that ended).
        } while (
            !head_.compare_exchange_weak(head, &node, std::memory_order_acq_rel, std::memory_order_relaxed));
        return head == nullptr ? posted::first : posted::behind_others;
    }

    [[nodiscard]] bool empty() const noexcept {
        const inbox_node* head = head_.load(std::memory_order_relaxed);
        return head == nullptr || head == &closed_;
    }

    /// Whether posts are refused: for good, until an owner moves in.
    [[nodiscard]] bool closed() const noexcept { return head_.load(std::memory_order_acquire) == &closed_; }

    /// How many wait: a gauge, any thread.
    [[nodiscard]] std::size_t depth() const noexcept { return count_.load(std::memory_order_relaxed); }

    /// Takes everything posted so far, oldest first (linked by next_posted). `taken`: how many.
    [[nodiscard]] inbox_node* drain(std::size_t* taken = nullptr) noexcept { return take(nullptr, taken); }
    /// Takes the rest and refuses every later post.
    [[nodiscard]] inbox_node* close(std::size_t* taken = nullptr) noexcept { return take(&closed_, taken); }
    /// A new owner moves in. Precondition: closed and settled.
    void reopen() noexcept { head_.store(nullptr, std::memory_order_release); }

  private:
    inbox_node* take(inbox_node* replacement, std::size_t* how_many) noexcept {
        inbox_node* node = head_.load(std::memory_order_relaxed);
        if (node == &closed_) {
            return nullptr;
        }
        node = head_.exchange(replacement, std::memory_order_acquire);
        inbox_node* oldest = nullptr;
        std::size_t taken = 0;
        for (; node != nullptr; ++taken) {
            inbox_node* next = node->next_posted.load(std::memory_order_relaxed);
            node->next_posted.store(oldest, std::memory_order_relaxed);
            oldest = node;
            node = next;
        }
        count_.fetch_sub(taken, std::memory_order_relaxed);
        if (how_many != nullptr) {
            *how_many = taken;
        }
        return oldest;
    }

    static inbox_node closed_; ///< one in all shared libraries: its address is the mark
    std::atomic<inbox_node*> head_{nullptr};
    std::atomic<std::size_t> count_{0};
};

} // namespace isthmus::core

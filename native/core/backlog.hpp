/// Buffered messages in order, in chunks: appending and taking never move what lies there already.
///
/// Not thread safe: a channel has one backlog per lock and swaps them whole. Destroying a backlog destroys
/// its messages: never under a lock.
#pragma once

#include "core/message.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace isthmus::core {

/// Room for messages; at most [begin, end) are alive. 2 KiB, so that a message never straddles two cache
/// lines.
struct alignas(64) chunk {
    static constexpr std::uint32_t size = 31;

    chunk* next = nullptr;
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    alignas(64) std::byte room[size * sizeof(message)];

    [[nodiscard]] message* at(std::uint32_t i) noexcept {
        return std::launder(reinterpret_cast<message*>(room + i * sizeof(message)));
    }
};
static_assert(sizeof(chunk) == 2048);

/// Empty chunks kept for reuse, a few at most: steady traffic allocates nothing.
class spare_chunks {
  public:
    spare_chunks() noexcept = default;
    spare_chunks(const spare_chunks&) = delete;
    spare_chunks& operator=(const spare_chunks&) = delete;
    ~spare_chunks() {
        while (first_ != nullptr) {
            delete std::exchange(first_, first_->next);
        }
    }

    /// Null when there is none and no memory either.
    [[nodiscard]] chunk* get() noexcept {
        if (first_ == nullptr) {
            return new (std::nothrow) chunk;
        }
        chunk* const taken = std::exchange(first_, first_->next);
        --count_;
        taken->next = nullptr;
        taken->begin = taken->end = 0;
        return taken;
    }

    void put(chunk* emptied) noexcept {
        if (count_ >= most_kept) {
            delete emptied;
            return;
        }
        emptied->next = first_;
        first_ = emptied;
        ++count_;
    }

    /// Takes over what `other` has, as far as there is room.
    void take_all(spare_chunks& other) noexcept {
        while (other.first_ != nullptr) {
            put(std::exchange(other.first_, other.first_->next));
        }
        other.count_ = 0;
    }

    /// Makes sure that the next get() succeeds; false: no memory.
    [[nodiscard]] bool stock() noexcept {
        if (first_ == nullptr) {
            if (chunk* const fresh = get()) {
                put(fresh);
            }
        }
        return first_ != nullptr;
    }

  private:
    static constexpr std::uint32_t most_kept = 8;
    chunk* first_ = nullptr;
    std::uint32_t count_ = 0;
};

class backlog {
  public:
    backlog() noexcept = default;
    backlog(const backlog&) = delete;
    backlog& operator=(const backlog&) = delete;
    ~backlog() {
        message dropped;
        spare_chunks emptied;
        while (pop(dropped, emptied)) {
            dropped.reset();
        }
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    /// More than one message lies here.
    [[nodiscard]] bool several() const noexcept {
        return first_ != nullptr && (first_ != last_ || first_->end - first_->begin > 1);
    }

    /// False, and `m` untouched, when memory for it can't be had.
    [[nodiscard]] bool push(message& m, spare_chunks& spares) noexcept {
        if (last_ == nullptr || last_->end == chunk::size) [[unlikely]] {
            chunk* const fresh = spares.get();
            if (fresh == nullptr) {
                return false;
            }
            (last_ != nullptr ? last_->next : first_) = fresh;
            last_ = fresh;
        }
        const std::uint32_t place = last_->end;
        __builtin_prefetch(last_->at(std::min(place + ahead, chunk::size - 1)), 1);
        new (last_->room + place * sizeof(message)) message(std::move(m));
        ++last_->end;
        return true;
    }

    /// Moves the oldest message to `out`, which must be empty. False: there is none.
    [[nodiscard]] bool pop(message& out, spare_chunks& emptied) noexcept {
        if (first_ == nullptr) {
            return false;
        }
        const std::uint32_t place = first_->begin;
        // The next lines are in the sender's cache still: they come over while this message is made an
        // object.
        __builtin_prefetch(first_->at(std::min(place + ahead, chunk::size - 1)), 0);
        out.relocate_from(*first_->at(place));
        if (++first_->begin == first_->end) {
            chunk* const done = std::exchange(first_, first_->next);
            if (first_ == nullptr) {
                last_ = nullptr;
            }
            emptied.put(done);
        }
        return true;
    }

    /// Oldest first.
    template <typename Visit> void for_each(Visit visit) const {
        for (chunk* each = first_; each != nullptr; each = each->next) {
            for (std::uint32_t i = each->begin; i < each->end; ++i) {
                visit(*each->at(i));
            }
        }
    }

    /// Puts all of `later` behind what is here.
    void append(backlog& later) noexcept {
        if (later.first_ != nullptr) {
            (last_ != nullptr ? last_->next : first_) = std::exchange(later.first_, nullptr);
            last_ = std::exchange(later.last_, nullptr);
        }
    }

    void swap(backlog& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(last_, other.last_);
    }

  private:
    /// How many messages ahead of use a line is fetched: about the time of one transfer between processors.
    static constexpr std::uint32_t ahead = 2;

    chunk* first_ = nullptr; ///< null, or a chunk with at least one message alive
    chunk* last_ = nullptr;
};

} // namespace isthmus::core

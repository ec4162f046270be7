/// The ends of things: releases, owners that are gone, and fork.

#include "core/memory.hpp"

#include "core/stats.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace isthmus::core {

/// Posts a claimed release, or settles it here if the owner is gone. True: the caller frees the block.
bool memory_system::post(slot& s) noexcept {
    statistics::add(counter::releases_posted);
    const std::uint16_t index = s.owner_window.load(std::memory_order_acquire);
    if (index != no_window) {
        window& w = windows_[index];
        switch (w.box.post(s)) {
        case inbox::posted::first:
            if (auto* wake = w.wake.load(std::memory_order_acquire); wake != nullptr) {
                wake(w);
            }
            return false;
        case inbox::posted::behind_others:
            return false;
        case inbox::posted::refused:
            break;
        }
    }
    statistics::add(counter::releases_run);
    return protocol::settle_without_owner(s);
}

void memory_system::post_release(slot& s) noexcept {
    if (post(s)) {
        give_back_orphan(s);
    }
}

std::size_t memory_system::drain(window& w, void (*drop_reference)(void* object)) noexcept {
    std::size_t ran = 0;
    for (inbox_node* node = w.box.drain(); node != nullptr; ++ran) {
        auto& s = static_cast<slot&>(*node);
        // Read before settling: afterwards the node may be posted again.
        node = node->next_posted.load(std::memory_order_relaxed);
        switch (protocol::settle(s)) {
        case protocol::after_settle::nothing:
            break;
        case protocol::after_settle::drop_keeper:
            assert(held_locks::here() == 0); // invariant 8: Python's objects die in here
            drop_reference(object_in(w.index, s));
            break;
        case protocol::after_settle::free_block:
            give_back_orphan(s);
            break;
        }
    }
    if (ran != 0) {
        statistics::add(counter::releases_run, ran);
    }
    return ran;
}

void memory_system::give_back_orphan(slot& s) noexcept {
    const std::lock_guard guard(lock_);
    free_orphan(s);
}

void memory_system::free_orphan(slot& s) noexcept {
    s.generation.fetch_add(1, std::memory_order_release);
    statistics::add(counter::slots_freed);
    dissolve(s);
}

void memory_system::owner_gone(window& w) noexcept {
    for (inbox_node* node = w.box.close(); node != nullptr;) {
        auto& s = static_cast<slot&>(*node);
        node = node->next_posted.load(std::memory_order_relaxed);
        statistics::add(counter::releases_run);
        if (protocol::settle_without_owner(s)) {
            give_back_orphan(s);
        }
    }
    inbox_node* claimed = nullptr;
    {
        const std::lock_guard guard(lock_);
        claimed = leave_blocks(w);
    }
    // Under no lock: whom a post wakes may free the block at once.
    while (claimed != nullptr) {
        auto& s = static_cast<slot&>(*claimed);
        claimed = claimed->next_posted.load(std::memory_order_relaxed);
        post_release(s);
    }
}

/// The rest of owner_gone(). Returns the releases that are to be posted; a claimed slot's place in an inbox
/// is free until then.
inbox_node* memory_system::leave_blocks(window& w) noexcept {
    inbox_node* claimed = nullptr;
    for (slot *s = all_, *next = nullptr; s != nullptr; s = next) {
        next = s->all_next;
        if (s->owner_window.load(std::memory_order_relaxed) == w.index) {
            disown(w, *s);
        } else if (leave_block(w, *s)) {
            s->next_posted.store(claimed, std::memory_order_relaxed);
            claimed = s;
        }
    }
    w.warm.fill(nullptr);
    w.oldest.fill(nullptr);
    w.slots.store(0, std::memory_order_relaxed);
    w.slot_bytes.store(0, std::memory_order_relaxed);
    // One call for all the private header pages and views of the interpreter that is gone.
    arena_.unmap(w.index, 0, arena_.capacity());
    w.taken = false;
    return claimed;
}

/// A block of the owner that is gone: freed, or an orphan until its last share.
void memory_system::disown(window& w, slot& s) noexcept {
    if (s.state.load(std::memory_order_relaxed) == slot::use::idle) {
        idle_bytes_.fetch_sub(s.touched, std::memory_order_relaxed);
        dissolve(s);
        return;
    }
    if (slot::clear(s.mapped, w.index)) {
        mappings_.fetch_sub(1, std::memory_order_relaxed);
    }
    s.owner_window.store(no_window, std::memory_order_release);
    if (protocol::make_orphan(s)) {
        free_orphan(s);
    }
}

/// Somebody else's block, in which the interpreter that is gone may have left a twin (interned strings are
/// never freed). True: the caller posts the release of its slot.
bool memory_system::leave_block(window& w, slot& s) noexcept {
    if (slot::clear(s.mapped, w.index)) {
        mappings_.fetch_sub(2, std::memory_order_relaxed);
    }
    if (!slot::clear(s.twins, w.index)) {
        return false;
    }
    statistics::add(counter::twins_dropped);
    statistics::add(counter::shares_dropped);
    switch (protocol::drop(s)) {
    case protocol::after_drop::still_shared:
        break;
    case protocol::after_drop::post_release:
        return true;
    case protocol::after_drop::free_block:
        free_orphan(s);
        break;
    }
    return false;
}

// Fork (H3). Parent and child would share payload pages, header pages of owners included, and later blocks
// as well: each would give the same addresses away. So the child, before it runs any code, takes memory of
// its own under the same addresses and copies what is live into it, and if there is any the parent waits: it
// holds the GIL of the forking thread, hence nothing of that interpreter changes meanwhile. The child's end
// of the pipe closes when it is done, or dead. Without descriptors for a pipe nobody can wait: then the
// parent copies first, and the child copies that.

void memory_system::before_fork() noexcept {
    lock_.lock();
    if (all_ != nullptr && pipe2(fork_pipe_, O_CLOEXEC) != 0) {
        fork_pipe_[0] = fork_pipe_[1] = -1;
        take_snapshot();
    }
}

void memory_system::take_snapshot() noexcept {
    snapshot_size_ = 0;
    for (const slot* s = all_; s != nullptr; s = s->all_next) {
        snapshot_size_ += s->state.load(std::memory_order_relaxed) == slot::use::live ? s->touched : 0;
    }
    void* const place = mmap(nullptr, std::max(snapshot_size_, page_size), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) {
        return;
    }
    snapshot_ = static_cast<std::byte*>(place);
    std::byte* to = snapshot_;
    for (const slot* s = all_; s != nullptr; s = s->all_next) {
        if (s->state.load(std::memory_order_relaxed) == slot::use::live) {
            std::memcpy(to, arena_.master_at(offset_of(*s)), s->touched);
            to += s->touched;
        }
    }
}

void memory_system::drop_snapshot() noexcept {
    if (snapshot_ != nullptr) {
        munmap(std::exchange(snapshot_, nullptr), std::max(snapshot_size_, page_size));
    }
}

/// Into the new memory of a child, from where the fork left it.
void memory_system::copy_live(std::byte* to) const noexcept {
    const std::byte* from = snapshot_;
    for (const slot* s = all_; s != nullptr; s = s->all_next) {
        if (s->state.load(std::memory_order_relaxed) != slot::use::live) {
            continue;
        }
        const std::size_t offset = offset_of(*s);
        std::memcpy(to + offset, snapshot_ != nullptr ? from : arena_.master_at(offset), s->touched);
        from += snapshot_ != nullptr ? s->touched : 0;
    }
}

void memory_system::after_fork_in_parent() noexcept {
    drop_snapshot();
    if (fork_pipe_[0] >= 0) {
        close(fork_pipe_[1]);
        char byte = 0;
        while (read(fork_pipe_[0], &byte, 1) < 0 && errno == EINTR) {
        }
        close(fork_pipe_[0]);
        fork_pipe_[0] = fork_pipe_[1] = -1;
    }
    lock_.unlock();
}

/// False: what lies in the memory is the parent's, too.
bool memory_system::separate_in_child() noexcept {
    const auto copy = [](std::byte* to, void* self) { static_cast<memory_system*>(self)->copy_live(to); };
    const bool readable = all_ == nullptr || fork_pipe_[0] >= 0 || snapshot_ != nullptr;
    bool whole = readable && arena_.refound(copy, this);
    for (slot* s = all_; whole && s != nullptr; s = s->all_next) {
        whole = remap_in_child(*s);
    }
    return whole;
}

void memory_system::after_fork_in_child() noexcept {
    if (started() && !separate_in_child()) {
        if (all_ != nullptr) {
            // Running on would mean two processes writing the same objects.
            constexpr char text[] = "isthmus: no memory to separate a forked child from its parent\n";
            [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
            std::_Exit(127);
        }
        spare_.fill(nullptr); // no block is ever made
    }
    drop_snapshot();
    if (fork_pipe_[0] >= 0) {
        close(fork_pipe_[0]);
        close(fork_pipe_[1]);
        fork_pipe_[0] = fork_pipe_[1] = -1;
    }
    lock_.unlock();
}

bool memory_system::remap_in_child(slot& s) noexcept {
    const std::uint16_t owner = s.owner_window.load(std::memory_order_relaxed);
    for (unsigned index = 0; index < arena_.windows(); ++index) {
        if (!s.is_mapped(index)) {
            continue;
        }
        const bool mapped = index == owner ? arena_.map_owner(index, offset_of(s), s.block_size())
                                           : arena_.map_foreign_payload(index, offset_of(s), s.block_size());
        if (!mapped) {
            return false;
        }
    }
    return true;
}

} // namespace isthmus::core

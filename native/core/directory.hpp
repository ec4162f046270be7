/// All live objects of one kind by id. Ids count from 1 and are never used again.
#pragma once

#include "core/lock.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

namespace isthmus::core {

/// Thread rules: any thread. Its lock is taken before no other lock (but at a fork, see forking.hpp, and by
/// `inspect`) and never under one. `T` removes itself by `forget` at the beginning of its destructor.
template <typename T> class directory {
  public:
    [[nodiscard]] std::uint64_t next_id() noexcept {
        return last_.fetch_add(1, std::memory_order_relaxed) + 1;
    }

    void enter(std::uint64_t id, const std::shared_ptr<T>& made) {
        const std::lock_guard guard(lock_);
        members_.emplace(id, member{made.get(), made});
    }
    void forget(std::uint64_t id) noexcept {
        const std::lock_guard guard(lock_);
        members_.erase(id);
    }
    [[nodiscard]] std::shared_ptr<T> find(std::uint64_t id) noexcept {
        const std::lock_guard guard(lock_);
        const auto at = members_.find(id);
        return at == members_.end() ? nullptr : at->second.held.lock();
    }
    /// Oldest first. Allocates nothing; the lock is not held while `visit` runs.
    template <typename Visit> void for_each(Visit visit) {
        for (auto [id, each] = next_after(0); each != nullptr; std::tie(id, each) = next_after(id)) {
            visit(*each);
        }
    }
    /// Oldest first. May throw std::bad_alloc.
    [[nodiscard]] std::vector<std::shared_ptr<T>> live() {
        std::vector<std::shared_ptr<T>> found;
        for (auto [id, each] = next_after(0); each != nullptr; std::tie(id, each) = next_after(id)) {
            found.push_back(each);
        }
        return found;
    }

    /// For a look at all of them, oldest first, `most` at most: `visit` runs under the lock, which is let go
    /// between two of them, and nobody is kept alive, so none ends on the thread that looks. It may take the
    /// locks of what it visits, as a fork does.
    template <typename Visit> void inspect(std::size_t most, Visit visit) {
        std::uint64_t id = 0;
        for (std::size_t seen = 0; seen < most; ++seen) {
            const std::lock_guard guard(lock_);
            auto at = members_.upper_bound(id);
            while (at != members_.end() && at->second.held.expired()) {
                ++at; // it waits for our lock to leave
            }
            if (at == members_.end()) {
                return;
            }
            id = at->first;
            visit(*at->second.at);
        }
    }
    [[nodiscard]] std::size_t size() noexcept {
        const std::lock_guard guard(lock_);
        return members_.size();
    }

    // For a fork. While the lock is held no T goes away, even one that nobody refers to any more.
    void lock() noexcept { lock_.lock(); }
    void unlock() noexcept { lock_.unlock(); }
    template <typename Visit> void for_each_under_lock(Visit visit) {
        for (const auto& [id, each] : members_) {
            visit(*each.at);
        }
    }

  private:
    struct member {
        T* at;
        std::weak_ptr<T> held;
    };

    [[nodiscard]] std::pair<std::uint64_t, std::shared_ptr<T>> next_after(std::uint64_t id) noexcept {
        const std::lock_guard guard(lock_);
        for (auto at = members_.upper_bound(id); at != members_.end(); ++at) {
            if (std::shared_ptr<T> found = at->second.held.lock()) {
                return {at->first, std::move(found)};
            }
        }
        return {0, nullptr};
    }

    short_lock lock_;
    std::map<std::uint64_t, member> members_;
    std::atomic<std::uint64_t> last_{0};
};

} // namespace isthmus::core

#include "core/shared_memory.hpp"

#include "core/immortal.hpp"
#include "core/lock.hpp"
#include "core/stats.hpp"

#include <cerrno>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

namespace isthmus::core {
namespace {

/// All blocks with memory, by their first address.
struct block_map {
    short_lock lock;
    std::map<std::uintptr_t, std::weak_ptr<shared_memory>> blocks; ///< under lock
    std::atomic<std::size_t> count{0}; ///< of `blocks`: most processes that send views have none

    block_map() noexcept {
        // A child that was forked while another thread held the lock would wait for it for ever.
        pthread_atfork([] { immortal<block_map>().lock.lock(); }, [] { immortal<block_map>().lock.unlock(); },
                       [] { immortal<block_map>().lock.unlock(); });
    }
};

block_map& all() noexcept {
    return immortal<block_map>();
}

std::uintptr_t number(const void* address) noexcept {
    return reinterpret_cast<std::uintptr_t>(address);
}

std::size_t whole_pages(std::size_t size) {
    static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    if (size > std::numeric_limits<std::ptrdiff_t>::max() - page) {
        throw std::bad_alloc{};
    }
    return (size + page - 1) / page * page;
}

} // namespace

std::shared_ptr<shared_memory> shared_memory::create(std::size_t size) {
    std::shared_ptr<shared_memory> made(new shared_memory(size));
    if (size != 0) {
        const std::size_t mapped = whole_pages(size);
        block_map& known = all();
        // Not MAP_NORESERVE: what the system can't ever back is refused here and not by a signal later.
        void* const at = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            throw std::bad_alloc{};
        }
        made->data_ = static_cast<std::byte*>(at);
        made->mapped_ = mapped;
        const std::lock_guard guard(known.lock);
        known.blocks.emplace(number(at), made);
        known.count.store(known.blocks.size(), std::memory_order_relaxed);
    }
    return made;
}

shared_memory::shared_memory(std::size_t size) noexcept : size_(size) {
    statistics::add(counter::buffers_made);
    statistics::add(counter::buffer_bytes_made, size);
}

shared_memory::~shared_memory() {
    statistics::add(counter::buffers_freed);
    statistics::add(counter::buffer_bytes_freed, size_);
    if (mapped_ == 0) {
        return;
    }
    block_map& known = all();
    {
        const std::lock_guard guard(known.lock);
        known.blocks.erase(number(data_));
        known.count.store(known.blocks.size(), std::memory_order_relaxed);
    }
    const int saved = errno;
    if (::munmap(data_, mapped_) != 0) {
        // The kernel joins neighbours to one mapping, and at its limit refuses to cut a hole into it: the
        // addresses are lost then, the pages need not be.
        ::madvise(data_, mapped_, MADV_DONTNEED);
    }
    errno = saved;
}

std::shared_ptr<shared_memory> shared_memory::containing(const void* address) noexcept {
    block_map& known = all();
    // Relaxed: who asks about memory of a block has a reference to it, so its entry was counted before.
    if (known.count.load(std::memory_order_relaxed) == 0) {
        return nullptr;
    }
    const std::lock_guard guard(known.lock);
    auto after = known.blocks.upper_bound(number(address));
    if (after == known.blocks.begin()) {
        return nullptr;
    }
    std::shared_ptr<shared_memory> found = (--after)->second.lock();
    return found != nullptr && number(address) - number(found->data_) < found->mapped_ ? found : nullptr;
}

memory_hold::memory_hold(interpreter_ref by, std::shared_ptr<shared_memory> what) noexcept
    : by_(std::move(by)), what_(std::move(what)), next_(by_->holds) {
    if (next_ != nullptr) {
        next_->previous_ = this;
    }
    by_->holds = this;
}

memory_hold::~memory_hold() {
    if (next_ != nullptr) {
        next_->previous_ = previous_;
    }
    (previous_ != nullptr ? previous_->next_ : by_->holds) = next_;
}

void memory_hold::settle(interpreter& gone) noexcept {
    while (gone.holds != nullptr) {
        delete gone.holds;
    }
}

} // namespace isthmus::core

#include "core/arena.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // Linux 5.14; older glibc headers lack it
#endif

namespace isthmus::core {
namespace {

constexpr unsigned master_count = 2;
constexpr std::size_t least_capacity = std::size_t{16} << 20;

/// A sealed, unnamed-in-the-filesystem file of `capacity` bytes without pages yet; -1 if refused.
int make_memory(std::size_t capacity) noexcept {
    rlimit limit{};
    // Checked first: beyond it ftruncate raises SIGXFSZ, which a host may not ignore.
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < capacity) {
        errno = EFBIG;
        return -1;
    }
    const int fd = memfd_create("isthmus", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, static_cast<off_t>(capacity)) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool duplicate(std::byte* from, std::byte* to, std::size_t length) noexcept {
    return mremap(from, 0, length, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
}

} // namespace

bool arena::reserve(const options& wanted) noexcept {
    for (std::size_t capacity = wanted.capacity; capacity >= least_capacity; capacity /= 2) {
        if (reserve_exactly(capacity, wanted.windows)) {
            return true;
        }
    }
    return false;
}

bool arena::reserve_exactly(std::size_t capacity, unsigned windows) noexcept {
    const int fd = make_memory(capacity);
    if (fd < 0) {
        return fail(errno == EFBIG ? "RLIMIT_FSIZE is too small for the arena" : "no memfd for the arena");
    }
    const std::size_t total = capacity * (windows + master_count);
    void* place = mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) {
        close(fd);
        return fail("no address space for the arena (RLIMIT_AS?)");
    }
    master_ = static_cast<std::byte*>(place);
    capacity_ = capacity;
    capacity_shift_ = static_cast<unsigned>(std::countr_zero(capacity));
    windows_ = windows;
    const bool mapped = map_masters(fd);
    close(fd);
    base_ = reinterpret_cast<std::uintptr_t>(master_) + master_count * capacity;
    if (!mapped || !duplicates_hold()) {
        give_back("mappings of the arena cannot be duplicated on this system");
        return false;
    }
    // From here on the address range answers contains(), so it is set last and only when all else holds.
    size_ = capacity * windows;
    why_ = "";
    return true;
}

void arena::give_back(const char* why) noexcept {
    munmap(master_, capacity_ * (windows_ + master_count));
    master_ = nullptr;
    base_ = size_ = capacity_ = 0;
    why_ = why;
}

bool arena::map_masters(int fd) const noexcept {
    const int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    if (mmap(master_, capacity_, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED ||
        mmap(master_ + capacity_, capacity_, PROT_READ, flags, fd, 0) == MAP_FAILED) {
        return false;
    }
    // A core dump needs each page once: owners' windows are dumped, the masters and their read-only
    // duplicates are not.
    madvise(master_, master_count * capacity_, MADV_DONTDUMP);
    return true;
}

/// Start-up check of the one trick the arena rests on: both masters duplicate, and all three places are one
/// memory.
bool arena::duplicates_hold() const noexcept {
    constexpr std::size_t length = 2 * page_size;
    if (!map_owner(0, 0, length) || !map_foreign(1, 0, length)) {
        return false;
    }
    std::byte* const written = at(0, page_size);
    const std::byte* const seen = at(1, page_size);
    *written = std::byte{0x5a};
    std::byte* const header = at(1, 0);
    *header = std::byte{0x17};
    const bool hold = *seen == std::byte{0x5a} && *at(0, 0) == std::byte{0};
    punch(0, length);
    const bool punched = *seen == std::byte{0};
    punch(0, length); // the look alone made a page
    unmap(0, 0, length);
    unmap(1, 0, length);
    return hold && punched;
}

bool arena::map_owner(unsigned window, std::size_t offset, std::size_t length) const noexcept {
    if (!duplicate(master_ + offset, at(window, offset), length)) {
        return false;
    }
    // The duplicate inherited the master's DONTDUMP; the owner's view is the one a core dump should hold.
    madvise(at(window, offset), length, MADV_DODUMP);
    return true;
}

bool arena::map_foreign(unsigned window, std::size_t offset, std::size_t length) const noexcept {
    std::byte* const header = at(window, offset);
    if (mmap(header, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED) {
        return false;
    }
    if (!map_foreign_payload(window, offset, length)) {
        unmap(window, offset, page_size);
        return false;
    }
    return true;
}

bool arena::map_foreign_payload(unsigned window, std::size_t offset, std::size_t length) const noexcept {
    const std::size_t start = offset + page_size;
    return duplicate(master_ + capacity_ + start, at(window, start), length - page_size);
}

void arena::unmap(unsigned window, std::size_t offset, std::size_t length) const noexcept {
    // A refusal (mapping limit) leaves the old mapping in place: harmless, it is replaced at the next use.
    [[maybe_unused]] const void* reserved =
        mmap(at(window, offset), length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
             -1, 0);
}

void arena::populate(std::span<std::byte> pages) noexcept {
    madvise(pages.data(), pages.size(), MADV_POPULATE_WRITE);
}

void arena::punch(std::size_t offset, std::size_t length) const noexcept {
    if (madvise(master_ + offset, length, MADV_REMOVE) != 0) {
        // Without hole punching the pages stay, but old bytes must not: a fresh block reads as zero.
        std::memset(master_ + offset, 0, length);
    }
}

bool arena::refound(void (*copy_live)(std::byte* to, void* context), void* context) noexcept {
    const int fd = make_memory(capacity_);
    // Without a descriptor the memory has no name and no seals, and is the same otherwise.
    const int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void* const mapped = mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    if (mapped == MAP_FAILED) {
        return false;
    }
    auto* const fresh = static_cast<std::byte*>(mapped);
    copy_live(fresh, context);
    const bool replaced = duplicate(fresh, master_, capacity_) &&
                          duplicate(fresh, master_ + capacity_, capacity_) &&
                          mprotect(master_ + capacity_, capacity_, PROT_READ) == 0;
    munmap(fresh, capacity_);
    madvise(master_, master_count * capacity_, MADV_DONTDUMP);
    return replaced;
}

} // namespace isthmus::core

#include "core/readiness.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <string_view>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace isthmus::core {

namespace {

/// The number may be a file of the user's by now (H4). An eventfd of theirs can't be told from ours.
bool is_eventfd(int descriptor) noexcept {
    char link[32];
    char target[32];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, target, sizeof target);
    return length < 0 || std::string_view(target, static_cast<std::size_t>(length)) == "anon_inode:[eventfd]";
}

} // namespace

readiness::readiness() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_ < 0) {
        throw std::system_error(errno, std::generic_category(), "eventfd");
    }
}

readiness::~readiness() {
    if (descriptor_ >= 0) {
        close(descriptor_);
    }
}

readiness::readiness(readiness&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), ready_(other.ready_) {}

readiness& readiness::operator=(readiness&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(ready_, other.ready_);
    return *this;
}

void readiness::set(bool ready) noexcept {
    if (ready == ready_) {
        return;
    }
    ready_ = ready;
    const int error = errno;
    // A failure means that somebody else closed or drained the descriptor: theirs is the damage.
    eventfd_t drained = 0;
    static_cast<void>(ready ? eventfd_write(descriptor_, 1) : eventfd_read(descriptor_, &drained));
    errno = error;
}

bool readiness::separate() noexcept {
    ready_ = false;
    if (!is_eventfd(descriptor_)) {
        descriptor_ = -1;
        return false;
    }
    const int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const bool done = fresh >= 0 && dup3(fresh, descriptor_, O_CLOEXEC) == descriptor_;
    if (fresh >= 0) {
        close(fresh);
    }
    return done;
}

} // namespace isthmus::core

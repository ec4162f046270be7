#include "core/readiness.hpp"

#include <cerrno>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace isthmus::core {

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

} // namespace isthmus::core

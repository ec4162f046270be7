#include "core/descriptor.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace isthmus::core {

descriptor::~descriptor() {
    if (number_ >= 0) {
        ::close(number_); // EINTR too has closed it on Linux: trying again could close somebody else's
    }
}

descriptor descriptor::duplicate_of(int number) {
    const int copy = ::fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        throw std::system_error(errno, std::generic_category(), "dup");
    }
    return descriptor(copy);
}

} // namespace isthmus::core

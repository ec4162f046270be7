/// The operator new and the system calls that faults.hpp makes fail.
#include "faults.hpp"

#include "allocations/failing.hpp"

#include <cerrno>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>

using isthmus::core::test::faults::due;

bool allocations::due() noexcept {
    return isthmus::core::test::faults::due();
}

// --- system calls; the linker sends those of the core here (cmake/IsthmusTests.cmake)

extern "C" {
void* __real_mmap(void*, std::size_t, int, int, int, off_t);
void* __real_mremap(void*, std::size_t, std::size_t, int, void*);
int __real_madvise(void*, std::size_t, int);
int __real_memfd_create(const char*, unsigned);
int __real_ftruncate(int, off_t);
int __real_fcntl(int, int, long);
int __real_eventfd(unsigned, int);
int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __real_socket(int, int, int);
int __real_bind(int, const sockaddr*, socklen_t);
int __real_listen(int, int);
int __real_renameat(int, const char*, int, const char*);

int refuse(int error) {
    errno = error;
    return -1;
}

void* __wrap_mmap(void* at, std::size_t size, int protection, int flags, int fd, off_t offset) {
    return due() ? (refuse(ENOMEM), MAP_FAILED) : __real_mmap(at, size, protection, flags, fd, offset);
}
// Both are variadic; the core always passes the one argument more.
void* __wrap_mremap(void* from, std::size_t old_size, std::size_t size, int flags, void* to) {
    return due() ? (refuse(ENOMEM), MAP_FAILED) : __real_mremap(from, old_size, size, flags, to);
}
int __wrap_fcntl(int fd, int what, long argument) {
    return due() ? refuse(EMFILE) : __real_fcntl(fd, what, argument);
}
int __wrap_madvise(void* at, std::size_t size, int advice) {
    return due() ? refuse(EINVAL) : __real_madvise(at, size, advice);
}
int __wrap_memfd_create(const char* name, unsigned flags) {
    return due() ? refuse(EMFILE) : __real_memfd_create(name, flags);
}
int __wrap_ftruncate(int fd, off_t size) {
    return due() ? refuse(EFBIG) : __real_ftruncate(fd, size);
}
int __wrap_eventfd(unsigned initial, int flags) {
    return due() ? refuse(EMFILE) : __real_eventfd(initial, flags);
}
int __wrap_pthread_create(pthread_t* made, const pthread_attr_t* with, void* (*body)(void*), void* context) {
    return due() ? EAGAIN : __real_pthread_create(made, with, body, context);
}
int __wrap_socket(int family, int kind, int protocol) {
    return due() ? refuse(EMFILE) : __real_socket(family, kind, protocol);
}
int __wrap_bind(int fd, const sockaddr* address, socklen_t size) {
    return due() ? refuse(ENOSPC) : __real_bind(fd, address, size);
}
int __wrap_listen(int fd, int backlog) {
    return due() ? refuse(EADDRINUSE) : __real_listen(fd, backlog);
}
int __wrap_renameat(int from, const char* old_name, int to, const char* name) {
    return due() ? refuse(ENOSPC) : __real_renameat(from, old_name, to, name);
}
}

/// Channels, queues and waits across fork(): the child finds them whole, and without the threads that it
/// lacks.
///
/// Another thread may be inside any short critical section when a process forks, and in the child it never
/// leaves it. So the forking thread first takes all locks there are, in this order: the directories, every
/// conduit's, the suspicion of cycles. Under none of them is one waited for that comes before it, nor a GIL,
/// so their holders are about to leave whatever the forking thread holds.
///
/// In the child nobody waits: places of the parent's threads are taken off their lists, because their stacks
/// may be used again; what those threads offered is not received there. Descriptors that are watched keep
/// their numbers, but are the child's own: else it and its parent would wake, and drain, each other's.
#pragma once

#include <cstdint>

namespace isthmus::core {

/// Idempotent; whoever makes a conduit has called it. Any thread.
void survive_forks() noexcept;

/// How many forks lie between the first process and this one. Any thread.
[[nodiscard]] std::uint32_t forks() noexcept;

} // namespace isthmus::core

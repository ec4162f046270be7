/// A thread of ours that was joined.
#pragma once

namespace isthmus::core {

/// pthread_join returns a moment before the kernel takes the thread off its count, by which os.fork decides
/// whether to warn. Waits for that: `kernel_id` is what gettid() said in it.
void wait_until_uncounted(int kernel_id) noexcept;

} // namespace isthmus::core

/// A descriptor that is readable exactly while something is ready: for poll, select, epoll, any event loop.
#pragma once

namespace isthmus::core {

/// Owns an eventfd (CLOEXEC, non-blocking). Not thread safe: guarded by the locks of what it reports on.
class readiness {
  public:
    /// Not readable at first. Throws std::system_error (EMFILE, ENFILE, ENOMEM).
    readiness();
    ~readiness();
    readiness(readiness&& other) noexcept;
    readiness& operator=(readiness&& other) noexcept;
    readiness(const readiness&) = delete;
    readiness& operator=(const readiness&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    /// A system call only if that changes something; never blocks.
    void set(bool ready) noexcept;
    /// In a forked child: gives the descriptor's number an eventfd that the parent does not share; not
    /// readable at first. False: none could be made, or somebody else closed ours.
    [[nodiscard]] bool separate() noexcept;

  private:
    int descriptor_ = -1;
    bool ready_ = false;
};

} // namespace isthmus::core

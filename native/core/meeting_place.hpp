/// Where a process that lets itself be inspected is found: a Unix socket in a directory of the user's own.
///
/// The directory is `$XDG_RUNTIME_DIR/isthmus`, or `isthmus-UID` in `$TMPDIR` (else /tmp) if that variable
/// names no directory of this user's. It is made with mode 0700 and refused if it is a symbolic link, belongs
/// to somebody else or lets others in. A socket's name is `PID.START.sock`, START as /proc/PID/stat has it:
/// so it names one process for as long as the machine runs. It appears under that name once it answers.
///
/// Thread rules: any thread, no GIL needed. Everything is a system call; /proc is needed.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <system_error>

namespace isthmus::core {

/// What went wrong, as errno has it, and where.
class place_error : public std::system_error {
  public:
    place_error(int code, std::string path, const std::string& why = {})
        : std::system_error(code, std::generic_category(), why), path_(std::move(path)), why_(why) {}
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// More than errno's own words; empty: those say it.
    [[nodiscard]] const std::string& why() const noexcept { return why_; }

  private:
    std::string path_;
    std::string why_;
};

/// A descriptor, told from another file that has its number by now (H4: users close numbers by the range).
struct marked_descriptor {
    int number = -1;
    dev_t device = 0;
    ino_t node = 0;

    [[nodiscard]] static marked_descriptor mark(int number) noexcept;
    [[nodiscard]] bool is_still_ours() const noexcept;
    /// Closes it if it is ours still. Async-signal-safe.
    void close() noexcept;
};

struct meeting_place {
    marked_descriptor listener; ///< non-blocking, closed on exec
    std::string path;
    dev_t device = 0; ///< of the socket in the file system
    ino_t node = 0;

    /// Makes the directory if need be, removes what dead processes left there, listens. Throws place_error,
    /// std::bad_alloc.
    [[nodiscard]] static meeting_place open();
    /// The socket's file goes, if it is still this one. The listener stays.
    void vanish() const noexcept;
};

} // namespace isthmus::core

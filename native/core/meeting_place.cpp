#include "core/meeting_place.hpp"

#include "core/descriptor.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace isthmus::core {
namespace {

constexpr std::string_view suffix = ".sock";
constexpr std::string_view unfinished = ".new"; ///< begins the name of a socket that does not listen yet
constexpr int backlog_length = 64;

/// When a process began, in ticks since the machine did; nothing: there is none with this id.
std::optional<std::uint64_t> start_of(pid_t process) {
    char path[40];
    std::snprintf(path, sizeof path, "/proc/%d/stat", process);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "re"), std::fclose);
    char line[1024];
    if (file == nullptr || std::fgets(line, sizeof line, file.get()) == nullptr) {
        return std::nullopt;
    }
    // The second field is the program's name in brackets, and may hold anything; the start is the 22nd.
    const char* at = std::strrchr(line, ')');
    for (int field = 2; at != nullptr && field < 22; ++field) {
        at = std::strchr(at + 1, ' ');
    }
    return at != nullptr ? std::optional(std::strtoull(at, nullptr, 10)) : std::nullopt;
}

bool is_private(const struct stat& found) noexcept {
    return S_ISDIR(found.st_mode) && found.st_uid == geteuid() && (found.st_mode & 0077) == 0;
}

std::string directory_name() {
    if (const char* const given = std::getenv("XDG_RUNTIME_DIR"); given != nullptr && given[0] == '/') {
        // That of another user is inherited through `su`.
        struct stat found = {};
        if (stat(given, &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == geteuid() &&
            (found.st_mode & 0022) == 0) {
            return std::string(given) + "/isthmus";
        }
    }
    const char* const given = std::getenv("TMPDIR");
    return std::string(given != nullptr && given[0] == '/' ? given : "/tmp") + "/isthmus-" +
           std::to_string(geteuid());
}

/// Everything below goes through this descriptor: nobody can put another directory in its place meanwhile.
descriptor open_directory(const std::string& path, bool make) {
    if (make && mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        throw place_error(errno, path);
    }
    descriptor opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat found = {};
    if (opened.number() < 0 && errno != ELOOP && errno != ENOTDIR) {
        throw place_error(errno, path);
    }
    if (opened.number() < 0 || fstat(opened.number(), &found) != 0 || !is_private(found)) {
        throw place_error(EACCES, path, "not a directory that belongs to this user alone (mode 0700)");
    }
    return opened;
}

/// Neither links nor long paths matter, since the directory is open already.
sockaddr_un address_in(const descriptor& directory, const std::string& name) noexcept {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory.number(),
                  name.c_str());
    return address;
}

bool is_refused(const descriptor& directory, const std::string& name) {
    const descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un address = address_in(directory, name);
    return probe.number() >= 0 &&
           connect(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
           errno == ECONNREFUSED;
}

bool is_old(const descriptor& directory, const std::string& name) noexcept {
    constexpr time_t seconds = 60;
    struct stat found = {};
    return fstatat(directory.number(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           found.st_mtime < time(nullptr) - seconds;
}

/// Whether `name` is a socket that its process has left behind. Processes of other containers may use the
/// same directory and are not to be seen, but they answer.
bool is_left_behind(const descriptor& directory, const std::string& name) {
    if (name.starts_with(unfinished)) {
        return is_old(directory, name) && is_refused(directory, name);
    }
    pid_t process = 0;
    std::uint64_t start = 0;
    const char* const end = name.data() + name.size();
    const auto [dot, no_process] = std::from_chars(name.data(), end, process);
    if (no_process != std::errc{} || dot == end || *dot != '.') {
        return false;
    }
    const auto [rest, no_start] = std::from_chars(dot + 1, end, start);
    if (no_start != std::errc{} || std::string_view(rest, static_cast<std::size_t>(end - rest)) != suffix) {
        return false;
    }
    return start_of(process) != start && is_refused(directory, name);
}

/// Failures leave things as they are.
void clean(const descriptor& directory) {
    descriptor copy(openat(directory.number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(copy.number() >= 0 ? fdopendir(copy.number()) : nullptr,
                                                      closedir);
    if (listing == nullptr) {
        return;
    }
    static_cast<void>(copy.release()); // the listing closes it
    std::vector<std::string> names;
    while (const dirent* const entry = readdir(listing.get())) {
        names.emplace_back(entry->d_name);
    }
    for (const std::string& name : names) {
        if (is_left_behind(directory, name)) {
            unlinkat(directory.number(), name.c_str(), 0);
        }
    }
}

} // namespace

marked_descriptor marked_descriptor::mark(int number) noexcept {
    struct stat found = {};
    static_cast<void>(fstat(number, &found));
    return {number, found.st_dev, found.st_ino};
}

bool marked_descriptor::is_still_ours() const noexcept {
    struct stat found = {};
    return number >= 0 && fstat(number, &found) == 0 && found.st_dev == device && found.st_ino == node;
}

void marked_descriptor::close() noexcept {
    if (is_still_ours()) {
        ::close(number);
    }
    number = -1;
}

meeting_place meeting_place::open() {
    const std::string directory_path = directory_name();
    const descriptor directory = open_directory(directory_path, true);
    clean(directory);
    errno = ENOENT; // unless it says more
    const std::optional<std::uint64_t> start = start_of(getpid());
    if (!start) {
        throw place_error(errno, "/proc/self/stat");
    }
    const std::string name = std::to_string(getpid()) + "." + std::to_string(*start) + std::string(suffix);
    const std::string first_name = std::string(unfinished) + name;
    meeting_place made;
    made.path = directory_path + "/" + name; // now: what listens must not be lost for want of memory

    descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un address = address_in(directory, first_name);
    // The mode that bind() gives the file is the socket's own.
    if (listener.number() < 0 || fchmod(listener.number(), 0600) != 0 ||
        bind(listener.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw place_error(errno, made.path);
    }
    struct stat found = {};
    if (listen(listener.number(), backlog_length) != 0 ||
        fstatat(directory.number(), first_name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0 ||
        renameat(directory.number(), first_name.c_str(), directory.number(), name.c_str()) != 0) {
        const int error = errno;
        unlinkat(directory.number(), first_name.c_str(), 0);
        throw place_error(error, made.path);
    }
    made.device = found.st_dev;
    made.node = found.st_ino;
    made.listener = marked_descriptor::mark(listener.release());
    return made;
}

void meeting_place::vanish() const noexcept {
    try {
        const std::size_t slash = path.rfind('/');
        const descriptor directory = open_directory(path.substr(0, slash), false);
        const std::string name = path.substr(slash + 1);
        struct stat found = {};
        if (fstatat(directory.number(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
            found.st_dev == device && found.st_ino == node) {
            unlinkat(directory.number(), name.c_str(), 0);
        }
    } catch (const std::exception&) {
        return; // the directory is another one by now: nothing there is ours
    }
}

} // namespace isthmus::core

/// What the tests of the inspector share: clients, and a directory to meet in.
#pragma once

#include "core/inspector.hpp"

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace isthmus::core::test {

namespace fs = std::filesystem;

/// A client that can be as rude as it likes. An answer that does not come within a minute is a failure.
class client {
  public:
    explicit client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        EXPECT_LT(path.size(), sizeof address.sun_path);
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        const timeval patience = {60, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }
    client(client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
    client& operator=(client&&) = delete;
    ~client() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    [[nodiscard]] bool connected() const { return connected_; }
    [[nodiscard]] int number() const { return fd_; }
    void say(std::string_view text) const {
        EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }
    void say_no_more() const { shutdown(fd_, SHUT_WR); }
    /// A line, or what came before the end.
    [[nodiscard]] std::string line() const {
        std::string got;
        char byte = 0;
        while (receive(byte) == 1 && byte != '\n') {
            got += byte;
        }
        return got;
    }
    /// Nothing more comes, because the other side has closed the connection.
    [[nodiscard]] bool ended() const {
        char byte = 0;
        const ssize_t got = receive(byte);
        return got == 0 || (got < 0 && errno == ECONNRESET);
    }

  private:
    /// With a limit, unlike without, it is interrupted when the process was stopped and goes on.
    [[nodiscard]] ssize_t receive(char& byte) const {
        ssize_t got = 0;
        do {
            got = recv(fd_, &byte, 1, 0);
        } while (got < 0 && errno == EINTR);
        return got;
    }

    int fd_;
    bool connected_ = false;
};

inline bool is_snapshot(const std::string& line) {
    return line.starts_with(R"({"isthmus":1,"kind":"snapshot",)") && line.ends_with("}}");
}

inline std::string ask(const std::string& path) {
    const client one(path);
    one.say("snapshot 1\n");
    return one.line();
}

/// Sets a variable of the environment, or none, until the end of the scope.
class variable {
  public:
    variable(const char* name, const char* text) : name_(name) {
        if (const char* const found = std::getenv(name); found != nullptr) {
            before_ = found;
        }
        set(text);
    }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;
    ~variable() { set(before_ ? before_->c_str() : nullptr); }

  private:
    void set(const char* text) const {
        if (text != nullptr) {
            setenv(name_, text, 1);
        } else {
            unsetenv(name_);
        }
    }
    const char* name_;
    std::optional<std::string> before_;
};

class inspectors : public ::testing::Test {
  protected:
    inspectors() {
        std::string pattern = fs::temp_directory_path() / "isthmus-test-XXXXXX";
        EXPECT_NE(mkdtemp(pattern.data()), nullptr);
        place = pattern;
        runtime_directory.emplace("XDG_RUNTIME_DIR", place.c_str());
    }
    ~inspectors() override {
        the_inspector().stop();
        fs::remove_all(place);
    }
    [[nodiscard]] std::size_t files() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(place / "isthmus"), fs::directory_iterator()));
    }
    /// What start() throws. Not looked at here: UBSan needs a descriptor for that.
    static std::exception_ptr thrown() {
        try {
            the_inspector().start();
        } catch (...) {
            return std::current_exception();
        }
        return nullptr;
    }
    /// The errno that start() fails with; 0: it did not.
    static int failure() { return number_of(thrown()); }
    static int number_of(const std::exception_ptr& failed) {
        try {
            if (failed) {
                std::rethrow_exception(failed);
            }
        } catch (const place_error& error) {
            EXPECT_FALSE(error.path().empty());
            return error.code().value();
        }
        return 0;
    }

    fs::path place;
    std::optional<variable> runtime_directory;
};

} // namespace isthmus::core::test

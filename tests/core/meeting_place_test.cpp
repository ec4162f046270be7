/// Where the inspector listens: whose directory it is, and what is found there.
#include "inspector_fixture.hpp"
#include "memory_fixture.hpp"

#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>

namespace isthmus::core::test {
namespace {

using meeting_places = inspectors;

TEST_F(meeting_places, refuse_a_directory_that_lets_others_in) {
    fs::create_directory(place / "isthmus");
    chmod((place / "isthmus").c_str(), 0750);
    EXPECT_EQ(failure(), EACCES);
    chmod((place / "isthmus").c_str(), 0700);
    EXPECT_EQ(failure(), 0);
}

TEST_F(meeting_places, refuse_a_link_and_what_is_no_directory) {
    fs::create_directory(place / "elsewhere");
    chmod((place / "elsewhere").c_str(), 0700);
    fs::create_directory_symlink(place / "elsewhere", place / "isthmus");
    EXPECT_EQ(failure(), EACCES);
    EXPECT_TRUE(fs::is_empty(place / "elsewhere"));
    fs::remove(place / "isthmus");
    std::ofstream(place / "isthmus") << "a file";
    EXPECT_EQ(failure(), EACCES);
}

TEST_F(meeting_places, go_to_the_temporary_directory_without_a_runtime_directory) {
    const variable runtime("XDG_RUNTIME_DIR", "relative");
    const variable temporary("TMPDIR", place.c_str());
    const std::string path = the_inspector().start();
    EXPECT_TRUE(path.starts_with((place / ("isthmus-" + std::to_string(geteuid()))).string())) << path;
    EXPECT_TRUE(is_snapshot(ask(path)));
}

TEST_F(meeting_places, listen_below_paths_of_any_length) {
    fs::path deep = place;
    while (deep.native().size() < 200) {
        deep /= "a-directory-with-a-long-name";
    }
    fs::create_directories(deep);
    chmod(deep.c_str(), 0700);
    const variable runtime("XDG_RUNTIME_DIR", deep.c_str());
    const std::string path = the_inspector().start();
    EXPECT_GT(path.size(), sizeof(sockaddr_un));
    EXPECT_TRUE(fs::is_socket(path));
    the_inspector().stop();
    EXPECT_FALSE(fs::exists(path));
    const std::string endless = "/" + std::string(5'000, 'x');
    const variable no_runtime("XDG_RUNTIME_DIR", endless.c_str());
    const variable temporary("TMPDIR", endless.c_str());
    EXPECT_EQ(failure(), ENAMETOOLONG);
}

/// Leaves a socket as a process does that is killed while it serves; returns its path.
std::string left_behind() {
    int told[2];
    EXPECT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
        const std::string path = the_inspector().start();
        [[maybe_unused]] const auto written = write(told[1], path.data(), path.size());
        _exit(0);
    }
    close(told[1]);
    std::string path(4'096, '\0');
    const ssize_t got = read(told[0], path.data(), path.size());
    close(told[0]);
    path.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    waitpid(child, nullptr, 0);
    return path;
}

TEST_F(meeting_places, clean_up_after_dead_processes_and_touch_nothing_else) {
    const std::string dead = left_behind();
    ASSERT_TRUE(fs::is_socket(dead));
    std::ofstream(place / "isthmus" / "notes.txt") << "the user's";
    std::ofstream(place / "isthmus" / "1x.2.sock") << "the user's";
    std::ofstream(place / "isthmus" / "1.2.txt") << "the user's";
    the_inspector().start();
    EXPECT_FALSE(fs::exists(dead));
    EXPECT_EQ(files(), 4U);
}

TEST_F(meeting_places, clean_up_what_never_listened_but_not_what_is_about_to) {
    const std::string dead = left_behind();
    const fs::path young = place / "isthmus" / ".new1.2.sock";
    const fs::path old = place / "isthmus" / ".new1.3.sock";
    fs::rename(dead, old);
    const timespec an_hour_ago[] = {{time(nullptr) - 3'600, 0}, {time(nullptr) - 3'600, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, old.c_str(), an_hour_ago, 0), 0);
    std::ofstream(young) << "somebody is just making it";
    the_inspector().start();
    EXPECT_FALSE(fs::exists(old));
    EXPECT_TRUE(fs::exists(young));
}

TEST_F(meeting_places, say_that_there_are_no_descriptors) {
    rlimit usual = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
    const int lowest = dup(0);
    close(lowest);
    int needed = 0;
    for (int error = EMFILE; error != 0; ++needed) {
        const rlimit few = {static_cast<rlim_t>(lowest + needed), usual.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        const std::exception_ptr failed = thrown();
        the_inspector().stop();
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
        error = number_of(failed);
        ASSERT_TRUE(error == 0 || error == EMFILE) << error << " with " << needed << " descriptors";
        EXPECT_TRUE(!fs::exists(place / "isthmus") || files() == 0);
    }
    EXPECT_GT(needed, 2);
}

TEST_F(meeting_places, leave_alone_what_took_their_sockets_name) {
    const fs::path path = the_inspector().start();
    fs::remove(path);
    std::ofstream(path) << "somebody else's by now";
    the_inspector().stop();
    EXPECT_TRUE(fs::exists(path));
}

} // namespace
} // namespace isthmus::core::test

/// The thread that shows the process to others: who may look, what is answered, what it leaves behind.
#include "inspector_fixture.hpp"
#include "memory_fixture.hpp"

#include "core/channel.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <vector>

namespace isthmus::core::test {
namespace {

TEST_F(inspectors, serve_until_they_are_stopped) {
    EXPECT_EQ(the_inspector().path(), "");
    const std::string path = the_inspector().start();
    EXPECT_EQ(the_inspector().start(), path) << "it serves already";
    EXPECT_EQ(the_inspector().path(), path);
    struct stat found = {};
    ASSERT_EQ(stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode, S_IFSOCK | mode_t{0600});
    ASSERT_EQ(stat((place / "isthmus").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode, S_IFDIR | mode_t{0700});
    EXPECT_TRUE(is_snapshot(ask(path)));
    the_inspector().stop();
    the_inspector().stop();
    EXPECT_FALSE(fs::exists(path));
    EXPECT_FALSE(client(path).connected());
    const std::string again = the_inspector().start();
    EXPECT_TRUE(is_snapshot(ask(again)));
}

TEST_F(inspectors, answer_one_request_after_another_however_they_are_cut) {
    const client one(the_inspector().start());
    one.say("snap");
    one.say("shot 1\nsnapshot 1\nsna");
    EXPECT_TRUE(is_snapshot(one.line()));
    EXPECT_TRUE(is_snapshot(one.line()));
    one.say("pshot 1\n");
    one.say_no_more();
    EXPECT_TRUE(is_snapshot(one.line()));
    EXPECT_TRUE(one.ended());
}

TEST_F(inspectors, refuse_what_they_do_not_understand) {
    const std::string path = the_inspector().start();
    const client one(path);
    static constexpr char requests[] = "\n\0\xff\n{\"kind\":1}\nsnapshot 2\nsnapshot 1 \nsnapshot 1\n";
    one.say(std::string_view(requests, sizeof requests - 1));
    for (int n = 0; n < 5; ++n) {
        EXPECT_TRUE(one.line().starts_with(R"({"isthmus":1,"kind":"error","message":"unknown)")) << n;
    }
    EXPECT_TRUE(is_snapshot(one.line())) << "the connection is good still";
    const client endless(path);
    endless.say(std::string(256, 'x'));
    EXPECT_NE(endless.line().find("too long"), std::string::npos);
    EXPECT_TRUE(endless.ended());
    EXPECT_TRUE(is_snapshot(ask(path)));
}

TEST_F(inspectors, do_not_wait_for_clients_that_are_silent_or_read_nothing) {
    // Each answer is more than the kernel keeps for who does not read.
    std::vector<std::shared_ptr<channel>> many(3'000);
    std::ranges::generate(many, [] { return channel::create(0); });
    const std::string path = the_inspector().start();
    std::vector<client> rude;
    for (int n = 0; n < 10; ++n) {
        rude.emplace_back(path);
        rude.emplace_back(path);
        rude.back().say("snapshot 1\n");
        EXPECT_TRUE(is_snapshot(ask(path))) << n;
    }
}

TEST_F(inspectors, survive_clients_that_leave_without_reading) {
    const std::string path = the_inspector().start();
    for (int n = 0; n < 40; ++n) { // more than have a place
        const client one(path);
        one.say("snapshot 1\n");
        pollfd answered = {one.number(), POLLIN, 0};
        ASSERT_EQ(poll(&answered, 1, 30'000), 1);
    } // a reset, since the answer was not read
    EXPECT_TRUE(is_snapshot(ask(path)));
}

TEST_F(inspectors, give_the_place_of_the_longest_silent_one_to_who_comes) {
    const std::string path = the_inspector().start();
    std::vector<client> all;
    for (std::size_t n = 0; n < inspector::most_clients; ++n) {
        all.emplace_back(path);
        all.back().say("snapshot 1\n");
        EXPECT_TRUE(is_snapshot(all.back().line()));
    }
    all.front().say("snapshot 1\n");
    EXPECT_TRUE(is_snapshot(all.front().line())) << "not the silent one any more";
    EXPECT_TRUE(is_snapshot(ask(path)));
    EXPECT_TRUE(all[1].ended());
    all.front().say("snapshot 1\n");
    EXPECT_TRUE(is_snapshot(all.front().line()));
}

TEST_F(inspectors, answer_a_few_where_few_descriptors_are_allowed) {
    const std::string path = the_inspector().start();
    const client before(path);
    rlimit usual = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
    const auto limited = [&](rlim_t to) {
        const rlimit changed = {to, usual.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &changed), 0);
    };
    limited(inspector::most_clients); // one less than a full table of clients and the listener
    before.say("snapshot 1\n");
    EXPECT_TRUE(is_snapshot(before.line()));
    EXPECT_TRUE(is_snapshot(ask(path)));
    limited(0);
    before.say("snapshot 1\n");
    limited(usual.rlim_cur);
    EXPECT_TRUE(is_snapshot(before.line())) << "what came meanwhile is answered";
}

TEST_F(inspectors, answer_many_at_once) {
    const std::string path = the_inspector().start();
    std::vector<std::jthread> threads;
    for (int n = 0; n < 8; ++n) {
        threads.emplace_back([&] {
            for (int m = 0; m < 25; ++m) {
                EXPECT_TRUE(is_snapshot(ask(path)));
            }
        });
    }
}

TEST_F(inspectors, can_be_started_and_stopped_by_anybody_at_any_time) {
    std::vector<std::jthread> threads;
    for (int n = 0; n < 4; ++n) {
        threads.emplace_back([n] {
            for (int m = 0; m < 20; ++m) {
                if ((n + m) % 2 == 0) {
                    the_inspector().start();
                } else {
                    the_inspector().stop();
                }
                static_cast<void>(the_inspector().path());
            }
        });
    }
    threads.clear();
    the_inspector().stop();
    EXPECT_EQ(files(), 0U);
}

// --- descriptors that are closed, forks, signals

TEST_F(inspectors, end_when_somebody_closes_their_descriptors) {
    const std::string path = the_inspector().start();
    // As users do; a sanitizer that watched would see that nobody agreed to it.
    ASSERT_EQ(syscall(SYS_close_range, 3U, 255U, 0U), 0);
    // The numbers are files of the user's from here on: not read, not closed.
    int mine[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, mine), 0);
    EXPECT_EQ(the_inspector().path(), "");
    EXPECT_EQ(write(mine[0], "snapshot 1\n", 11), 11);
    the_inspector().stop();
    char got[16];
    EXPECT_EQ(read(mine[1], got, sizeof got), 11);
    close(mine[0]);
    close(mine[1]);
    EXPECT_FALSE(fs::exists(path));
    EXPECT_TRUE(is_snapshot(ask(the_inspector().start())));
}

/// In a forked child, which knows its parent's path.
void serve_beside_the_parent(const std::string& parents) {
#if !defined(__SANITIZE_THREAD__) // it lets a child of a process with threads start none
    const std::string own = the_inspector().start();
    EXPECT_NE(own, parents);
    EXPECT_TRUE(is_snapshot(ask(own)));
    the_inspector().stop();
    EXPECT_FALSE(fs::exists(own));
#endif
    EXPECT_TRUE(fs::exists(parents));
}

TEST_F(inspectors, stay_with_the_parent_at_a_fork) {
    const std::string path = the_inspector().start();
    const client connected(path);
    EXPECT_TRUE(is_snapshot(ask(path))); // its thread has begun: see asan_at_fork.cpp
    EXPECT_EQ(in_child([&] {
                  EXPECT_EQ(the_inspector().path(), "");
                  the_inspector().stop();
                  EXPECT_TRUE(is_snapshot(ask(path))) << "the parent's goes on";
                  serve_beside_the_parent(path);
              }),
              0);
    connected.say("snapshot 1\n");
    EXPECT_TRUE(is_snapshot(connected.line()));
    EXPECT_TRUE(is_snapshot(ask(path)));
}

TEST_F(inspectors, keep_no_connection_open_in_a_child) {
    const std::string path = the_inspector().start();
    const client connected(path);
    connected.say("snapshot 1\n");
    EXPECT_TRUE(is_snapshot(connected.line()));
    int hold[2];
    ASSERT_EQ(pipe(hold), 0);
    const pid_t child = fork();
    if (child == 0) {
        close(hold[1]);
        char byte = 0;
        _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    the_inspector().stop();
    EXPECT_TRUE(connected.ended()) << "the child has the descriptor no more";
    EXPECT_FALSE(client(path).connected());
    close(hold[0]);
    close(hold[1]);
    waitpid(child, nullptr, 0);
}

TEST_F(inspectors, fork_at_any_moment) {
    const std::string path = the_inspector().start();
    std::atomic<bool> stop{false};
    std::jthread asking([&] {
        while (!stop.load()) {
            EXPECT_TRUE(is_snapshot(ask(path)));
        }
    });
    for (int n = 0; n < 20; ++n) {
        EXPECT_EQ(in_child([] { EXPECT_EQ(the_inspector().path(), ""); }), 0);
    }
    stop.store(true);
}

TEST_F(inspectors, take_no_signals) {
    EXPECT_TRUE(is_snapshot(ask(the_inspector().start())));
    std::string blocked;
    for (const fs::directory_entry& task : fs::directory_iterator("/proc/self/task")) {
        std::string name;
        std::ifstream(task.path() / "comm") >> name;
        std::ifstream status(task.path() / "status");
        for (std::string line; name == "isthmus-inspect" && std::getline(status, line);) {
            blocked = line.starts_with("SigBlk:") ? line.substr(line.find_first_not_of(" \t", 7)) : blocked;
        }
    }
    ASSERT_EQ(blocked.size(), 16U);
    const std::uint64_t mask = std::stoull(blocked, nullptr, 16);
    for (const int number : {SIGINT, SIGTERM, SIGCHLD, SIGALRM, SIGUSR1, SIGPROF, SIGHUP}) {
        EXPECT_NE(mask >> (number - 1) & 1U, 0U) << number;
    }
}

} // namespace
} // namespace isthmus::core::test

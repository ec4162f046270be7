#include "support.hpp"

#include <thread>

using hosts::start;
using isthmus::interpreter;

TEST(post, runs_in_an_idle_one_and_in_a_busy_one) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("seen = []\ndef note(x): seen.append(x); return x * 2\ndef fail(): raise OSError('gone')");
    EXPECT_EQ(in.post("note", 21).get().as<int>(), 42);
    auto [began, begin] = isthmus::create_channel();
    in.set("begin", begin);
    std::thread busy([&] { in.run("begin.send(1)\nwhile 'end' not in seen: pass"); });
    static_cast<void>(began.recv());
    std::vector<std::future<isthmus::value>> futures;
    for (int i = 0; i < 100; ++i) {
        futures.push_back(in.post("note", i));
    }
    EXPECT_THROW(in.post("fail").get(), isthmus::python_error);
    EXPECT_THROW(in.post("nobody").get(), isthmus::python_error);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(futures[static_cast<std::size_t>(i)].get().as<int>(), 2 * i);
    }
    static_cast<void>(in.post("note", "end").get());
    busy.join();
    EXPECT_EQ(in.eval("[x for x in seen if x != 'end'][1:] == list(range(100))").as<bool>(), true);
}

TEST(post, fails_when_the_interpreter_closes_first) {
    const isthmus::runtime runtime = start();
    interpreter in;
    auto [receiver, sender] = isthmus::create_channel();
    auto [began, begin] = isthmus::create_channel();
    in.set("go", receiver);
    in.set("begin", begin);
    in.run("def hold(): begin.send(1); go.recv()\ndef never(): pass");
    std::future<isthmus::value> running = in.post("hold");
    static_cast<void>(began.recv());
    std::future<isthmus::value> waiting = in.post("never");
    std::thread closes([&] { in.close(); });
    EXPECT_THROW(waiting.get(), isthmus::interpreter_error);
    closes.join();
    EXPECT_THROW(running.get(), isthmus::python_error); // its wait was woken by the close
}

TEST(post, reaches_the_main_interpreter) {
    const isthmus::runtime runtime = start();
    interpreter main = interpreter::main();
    EXPECT_EQ(main.post("isthmus.get_current").get().is_object(), true);
    EXPECT_EQ(main.post("abs", -3).get().as<int>(), 3);
}

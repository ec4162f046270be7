#include "support.hpp"

#include <array>
#include <chrono>
#include <future>
#include <thread>

using hosts::start;
using isthmus::interpreter;
using namespace std::chrono_literals;

TEST(post, runs_in_an_idle_one_and_in_a_busy_one) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("seen = []\ndef note(x): seen.append(x); return x * 2\ndef fail(): raise OSError('gone')");
    EXPECT_EQ(in.post("note", 21).result<int>(), 42);
    auto [began, begin] = isthmus::create_channel();
    in.set("begin", begin);
    std::thread busy([&] { in.run("begin.send(1)\nwhile 'end' not in seen: pass"); });
    static_cast<void>(began.recv());
    std::vector<isthmus::pending_call> calls;
    for (int i = 0; i < 100; ++i) {
        calls.push_back(in.post("note", i));
    }
    EXPECT_THROW(static_cast<void>(in.post("fail").result()), isthmus::python_error);
    EXPECT_THROW(static_cast<void>(in.post("nobody").result()), isthmus::python_error);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(calls[static_cast<std::size_t>(i)].result<int>(), 2 * i);
    }
    in.post("note", "end").wait();
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
    const isthmus::pending_call running = in.post("hold");
    static_cast<void>(began.recv());
    const isthmus::pending_call waiting = in.post("never");
    std::future<isthmus::value> future = in.post("never");
    std::thread closes([&] { in.close(); });
    EXPECT_THROW(static_cast<void>(waiting.result()), isthmus::interpreter_error);
    EXPECT_THROW(future.get(), isthmus::interpreter_error);
    closes.join();
    EXPECT_TRUE(waiting.done());
    EXPECT_FALSE(waiting.cancelled());
    EXPECT_THROW(static_cast<void>(running.result()),
                 isthmus::python_error); // its wait was woken by the close
}

TEST(post, reaches_the_main_interpreter) {
    const isthmus::runtime runtime = start();
    interpreter main = interpreter::main();
    EXPECT_EQ(main.post("isthmus.get_current").result().is_object(), true);
    EXPECT_EQ(main.post("abs", -3).result<int>(), 3);
}

namespace {
/// An interpreter whose posted calls wait: one holds it up until it is let go.
struct held_up {
    interpreter in;
    std::pair<isthmus::recv_channel, isthmus::send_channel> began = isthmus::create_channel();
    std::pair<isthmus::recv_channel, isthmus::send_channel> go = isthmus::create_channel();
    isthmus::pending_call holding = hold();

    isthmus::pending_call hold() {
        in.set("begin", began.second);
        in.set("go", go.first);
        in.run("seen = []\ndef note(x): seen.append(x); return x\ndef fail(): raise OSError('gone')\n"
               "def hold(): begin.send(1); return go.recv()");
        isthmus::pending_call made = in.post("hold");
        static_cast<void>(began.first.recv());
        return made;
    }
};
} // namespace

TEST(pending_call, tells_how_far_it_is) {
    const isthmus::runtime runtime = start();
    held_up held;
    const isthmus::pending_call next = held.in.post("note", 1);
    EXPECT_TRUE(held.holding.running());
    EXPECT_FALSE(held.holding.done());
    EXPECT_FALSE(next.running());
    EXPECT_FALSE(next.wait(0ns));
    EXPECT_FALSE(next.wait(2ms));
    EXPECT_THROW(static_cast<void>(next.result(1ms)), isthmus::timeout_error);
    EXPECT_FALSE(held.holding.cancel()) << "it has begun";
    held.go.second.send("through");
    EXPECT_TRUE(held.holding.wait(60s));
    EXPECT_EQ(held.holding.result<std::string>(), "through");
    EXPECT_EQ(held.holding.result(), isthmus::value("through")) << "as often as it is asked for";
    EXPECT_EQ(next.result<int>(), 1);
    EXPECT_TRUE(next.done());
    EXPECT_FALSE(next.running());
    isthmus::pending_call failed = held.in.post("fail");
    EXPECT_TRUE(failed.wait());
    EXPECT_THROW(static_cast<void>(failed.result()), isthmus::python_error);
    EXPECT_THROW(static_cast<void>(std::move(failed).result()), isthmus::python_error);
    held.in.close();
    EXPECT_EQ(next.result<int>(), 1) << "valid after the close";
}

TEST(pending_call, can_be_cancelled_until_it_begins) {
    const isthmus::runtime runtime = start();
    held_up held;
    isthmus::pending_call never = held.in.post("note", 1);
    isthmus::pending_call others = held.in.post("note", 2);
    EXPECT_TRUE(never.cancel());
    EXPECT_TRUE(never.cancel());
    EXPECT_TRUE(never.cancelled());
    EXPECT_TRUE(never.done());
    EXPECT_TRUE(never.wait(0ns));
    EXPECT_THROW(static_cast<void>(never.result()), isthmus::cancelled_error);
    std::future<isthmus::value> future = std::move(never);
    EXPECT_THROW(future.get(), isthmus::cancelled_error);
    others = held.in.post("note", 3); // which drops one, and cancels none
    held.go.second.send(nullptr);
    EXPECT_EQ(others.result<int>(), 3);
    EXPECT_FALSE(others.cancel());
    EXPECT_EQ(held.in.eval("seen").as<std::vector<int>>(), (std::vector<int>{2, 3}));
}

TEST(pending_call, becomes_a_future_before_and_after_its_end) {
    const isthmus::runtime runtime = start();
    held_up held;
    std::future<isthmus::value> before = held.in.post("note", 1);
    EXPECT_EQ(before.wait_for(0s), std::future_status::timeout);
    held.go.second.send(nullptr);
    EXPECT_EQ(before.get().as<int>(), 1);
    isthmus::pending_call ended = held.in.post("fail");
    EXPECT_TRUE(ended.wait());
    std::future<isthmus::value> after = std::move(ended);
    EXPECT_THROW(after.get(), isthmus::python_error);
    for (int i = 0; i < 2'000; ++i) { // at about the same time
        std::future<isthmus::value> each = held.in.post("note", i);
        ASSERT_EQ(each.get().as<int>(), i);
    }
}

TEST(pending_call, waits_without_the_gil_and_for_others_only) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("import isthmus\ndef one(): return 1\ndef nested(): return isthmus.host.nested()");
    {
        const isthmus::entered scope(in); // whose GIL the call needs
        EXPECT_EQ(in.post("one").result<int>(), 1);
        EXPECT_TRUE(in.post("one").wait(60s));
    }
    isthmus::define_host_function("nested", [&] {
        const isthmus::pending_call inner = in.post("one");
        EXPECT_FALSE(inner.wait(1ms));
        return inner.result<int>();
    });
    try {
        static_cast<void>(in.post("nested").result());
        FAIL();
    } catch (const isthmus::python_error& error) {
        EXPECT_NE(error.message().find("would wait for ever"), std::string::npos) << error.what();
    }
    EXPECT_EQ(in.post("one").result<int>(), 1);
}

TEST(pending_call, is_waited_for_by_several_threads) {
    const isthmus::runtime runtime = start();
    held_up held;
    const isthmus::pending_call call = held.in.post("note", std::vector<int>{1, 2, 3});
    std::array<std::thread, 4> threads;
    for (std::thread& each : threads) {
        each = std::thread([&] { EXPECT_EQ(call.result<std::vector<int>>(), (std::vector<int>{1, 2, 3})); });
    }
    held.go.second.send(nullptr);
    for (std::thread& each : threads) {
        each.join();
    }
}

TEST(pending_call, what_nobody_waits_for_is_reported_where_it_was_raised) {
    const isthmus::runtime runtime = start();
    held_up held;
    held.in.run("import sys\nsaid = []\nsys.unraisablehook = lambda u: said.append(str(u.exc_value))");
    {
        const isthmus::pending_call dropped = held.in.post("fail");
        std::future<isthmus::value> kept = held.in.post("fail");
        held.go.second.send(nullptr);
        EXPECT_THROW(kept.get(), isthmus::python_error);
        EXPECT_EQ(held.in.eval("said").size(), 0U);
    }
    static_cast<void>(held.in.post("hold"));
    static_cast<void>(held.began.first.recv());
    static_cast<void>(held.in.post("fail")); // is dropped before it begins
    held.go.second.send(nullptr);
    held.in.post("note", 0).wait();
    EXPECT_EQ(held.in.eval("said").as<std::vector<std::string>>(), (std::vector<std::string>{"gone"}));
}

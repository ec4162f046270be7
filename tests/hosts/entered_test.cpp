#include "support.hpp"

#include <latch>
#include <thread>

using hosts::start;
using isthmus::entered;
using isthmus::interpreter;

TEST(entered, functions_are_called_where_they_are) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("seen = []\ndef f(*a): seen.append(a); return sum(a)\ndef fail(): raise KeyError('k')");
    isthmus::function f = in.function("f");
    EXPECT_THROW(f(1), isthmus::interpreter_error);
    {
        const entered scope(in);
        EXPECT_EQ(f(1, 2, 3).as<int>(), 6);
        EXPECT_EQ(f(0.5, 1).as<double>(), 1.5);
        EXPECT_EQ(f().as<int>(), 0);
        EXPECT_EQ(f(1, 2, 3, 4, 5, 6, 7, 8, 9, 10).as<int>(), 55);
        EXPECT_THROW(f("text"), isthmus::python_error);
        isthmus::function fail = in.function("fail");
        try {
            fail();
            FAIL();
        } catch (const isthmus::python_error& error) {
            EXPECT_EQ(error.type(), "KeyError");
        }
        EXPECT_EQ(in.eval("len(seen)").as<int>(), 5);
    }
    EXPECT_THROW(static_cast<void>(in.function("seen")), isthmus::python_error);
}

TEST(entered, nests_in_the_same_and_in_others) {
    const isthmus::runtime runtime = start();
    interpreter one;
    interpreter other;
    one.run("name = 'one'");
    other.run("name = 'other'");
    const entered outer(one);
    {
        const entered inner(other);
        EXPECT_EQ(one.eval("name").as<std::string>(), "one");
        EXPECT_EQ(other.eval("name").as<std::string>(), "other");
        {
            const entered again(other);
            const entered back(one);
            EXPECT_EQ(one.eval("name").as<std::string>(), "one");
        }
        EXPECT_EQ(other.eval("name").as<std::string>(), "other");
    }
    EXPECT_EQ(one.eval("name").as<std::string>(), "one");
}

TEST(entered, is_exception_safe_and_keeps_it_open) {
    const isthmus::runtime runtime = start();
    interpreter in;
    try {
        const entered scope(in);
        std::thread([&] { EXPECT_THROW(in.close(), isthmus::interpreter_error); }).join();
        throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
    }
    in.close();
    EXPECT_THROW(const entered scope(in), isthmus::interpreter_error);
}

TEST(entered, waits_let_go_of_the_gil) {
    const isthmus::runtime runtime = start();
    interpreter in;
    auto [receiver, sender] = isthmus::create_channel();
    in.set("s", sender);
    std::latch inside(1);
    std::thread waits([&] {
        const entered scope(in);
        inside.count_down();
        EXPECT_EQ(receiver.recv().as<int>(), 7);
    });
    inside.wait();
    {
        const entered scope(in); // else this would wait for ever
        isthmus::function send = in.function("s.send");
        send(7);
    }
    waits.join();
}

TEST(entered, functions_outlive_their_interpreter) {
    const isthmus::runtime runtime = start();
    auto in = std::make_unique<interpreter>();
    in->run("def f(): return 1");
    isthmus::function f = in->function("f");
    isthmus::function moved = std::move(f);
    in->close();
    in.reset();
    EXPECT_THROW(moved(), isthmus::interpreter_error);
}

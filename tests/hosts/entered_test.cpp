#include "support.hpp"

#include <Python.h>

#include <cmath>
#include <latch>
#include <limits>
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

namespace {
struct meters {
    double n;
};
} // namespace

template <> struct isthmus::conversion<meters> {
    static value to(const meters& m) { return value::of(value::tuple{args("m", m.n)}); }
    static meters from(const value& v) { return {v[1].as<double>()}; }
};

TEST(entered, arguments_of_all_kinds_arrive_as_those_of_call_do) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("def told(*a): return repr(a)\ndef back(x): return x");
    isthmus::function told = in.function("told");
    isthmus::function back = in.function("back");
    const auto large = isthmus::bytes(std::string(1'000'000, 'x'));
    const std::byte raw[] = {std::byte{0}, std::byte{255}};
    const std::optional<int> none;
    const auto both = [&](const auto&... each) {
        const entered scope(in);
        EXPECT_EQ(told.call_as<std::string>(each...), in.call_as<std::string>("told", each...));
        return told.call_as<std::string>(each...);
    };
    EXPECT_EQ(both(true, -1, 2U, 0.5F, nullptr, std::nullopt), "(True, -1, 2, 0.5, None, None)");
    EXPECT_EQ(both("a\xc3\xa4", std::string("b\0c", 3), std::string_view("\xed\xa0\x80"),
                   static_cast<const char*>(nullptr)),
              "('a\xc3\xa4', 'b\\x00c', '\\ud800', None)");
    EXPECT_EQ(both(isthmus::bytes("b"), isthmus::text("t"), std::span(raw)), "(b'b', 't', b'\\x00\\xff')");
    EXPECT_EQ(both(std::vector<int>{1, 2}, none, meters{3}, isthmus::value("v")),
              "([1, 2], None, ('m', 3.0), 'v')");
    EXPECT_EQ(both(std::numeric_limits<std::int64_t>::min(), std::uint64_t{1} << 62),
              "(-9223372036854775808, 4611686018427387904)");
    EXPECT_EQ(both(std::string(5'000, 'x')).size(), 5'005U);
    const entered scope(in);
    EXPECT_TRUE(back.call_as<isthmus::bytes>(large).same_memory(large));
    EXPECT_EQ(back.call_as<std::string>(std::string(100'000, 'y')), std::string(100'000, 'y'));
    EXPECT_THROW(told(std::uint64_t{1} << 63), isthmus::type_error);
    EXPECT_THROW(told(1, "\xff"), std::invalid_argument);
    EXPECT_THROW(told(std::string(5'000, '\xff')), std::invalid_argument);
    EXPECT_EQ(PyErr_Occurred(), nullptr);
}

TEST(entered, results_are_read_as_what_they_are_asked_for) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("import enum\nclass E(enum.IntEnum): A = 1\ndef back(x): return x\ndef other(): return E.A\n"
           "def lots(): return 1 << 62\ndef more(): return 1 << 63\ndef lock(): return "
           "__import__('_thread').allocate_lock()");
    isthmus::function back = in.function("back");
    const entered scope(in);
    EXPECT_EQ(back.call_as<int>(-7), -7);
    EXPECT_EQ(back.call_as<int>(true), 1);
    EXPECT_EQ(back.call_as<double>(7), 7.0);
    EXPECT_EQ(back.call_as<double>(0.25), 0.25);
    EXPECT_TRUE(std::isnan(back.call_as<float>(std::nan(""))));
    EXPECT_TRUE(back.call_as<bool>(true));
    EXPECT_EQ(back.call_as<std::optional<int>>(nullptr), std::nullopt);
    EXPECT_EQ(back.call_as<std::vector<int>>(std::vector<int>{1, 2}), (std::vector<int>{1, 2}));
    EXPECT_EQ(back.call_as<meters>(meters{4}).n, 4);
    EXPECT_EQ(back(std::int64_t{1} << 40), isthmus::value(std::int64_t{1} << 40));
    EXPECT_TRUE(back(nullptr).is_none());
    EXPECT_EQ(in.function("lots").call_as<std::int64_t>(), std::int64_t{1} << 62);
    EXPECT_THROW(static_cast<void>(back.call_as<signed char>(128)), isthmus::type_error);
    EXPECT_THROW(static_cast<void>(back.call_as<unsigned>(-1)), isthmus::type_error);
    EXPECT_THROW(static_cast<void>(back.call_as<int>(0.5)), isthmus::type_error);
    EXPECT_THROW(static_cast<void>(back.call_as<bool>(1)), isthmus::type_error);
    EXPECT_THROW(static_cast<void>(back.call_as<int>("1")), isthmus::type_error);
    EXPECT_THROW(static_cast<void>(in.function("more").call_as<std::int64_t>()), isthmus::type_error);
    EXPECT_THROW(static_cast<void>(in.function("other").call_as<int>()), isthmus::type_error);
    EXPECT_THROW(in.function("lock")(), isthmus::python_error);
}

TEST(entered, functions_are_refused_wherever_the_thread_is_not_inside) {
    const isthmus::runtime runtime = start();
    interpreter in;
    interpreter other;
    in.run("def one(): return 1\ndef by_host(): import isthmus; return isthmus.host.calls()");
    isthmus::function one = in.function("one");
    isthmus::define_host_function("calls", [&] { return one.call_as<int>(); }); // without the GIL
    const entered scope(in);
    EXPECT_EQ(one.call_as<int>(), 1);
    PyThreadState* const left = PyEval_SaveThread();
    EXPECT_THROW(one(), isthmus::interpreter_error);
    PyEval_RestoreThread(left);
    EXPECT_EQ(one.call_as<int>(), 1);
    {
        const entered inner(other);
        EXPECT_THROW(one(), isthmus::interpreter_error);
        const entered back(in);
        EXPECT_EQ(one.call_as<int>(), 1);
    }
    EXPECT_EQ(one.call_as<int>(), 1);
    EXPECT_THROW(in.function("by_host")(), isthmus::python_error);
    std::thread([&] { EXPECT_THROW(one(), isthmus::interpreter_error); }).join();
    // By Python's own means it is inside as well.
    PyThreadState* const mine = PyThreadState_New(PyInterpreterState_Get());
    PyThreadState* const ours = PyThreadState_Swap(mine);
    EXPECT_EQ(one.call_as<int>(), 1);
    PyThreadState_Clear(mine);
    PyThreadState_Swap(ours);
    PyThreadState_Delete(mine);
}

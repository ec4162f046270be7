#include "support.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

using hosts::start;
using isthmus::interpreter;
using isthmus::value;

TEST(interpreter, runs_and_calls) {
    const isthmus::runtime runtime = start();
    interpreter in({.name = "worker"});
    in.run("def add(a, b=10): return a + b");
    EXPECT_EQ(in.call_as<int>("add", 1, 2), 3);
    EXPECT_EQ(in.call_with("add", isthmus::args(1), {{"b", 5}}).as<int>(), 6);
    EXPECT_EQ(in.call_as<int>("len", "four"), 4);
    EXPECT_EQ(in.call_as<std::string>("os.path.basename", "/a/b"), "b");
    EXPECT_EQ(in.call_as<std::string>("posixpath:basename", "/a/b"), "b");
    EXPECT_EQ(in.call_as<bool>("os:path.isabs", "/a"), true);
    EXPECT_EQ(in.name(), "worker");
    EXPECT_GT(in.id(), 0);
    EXPECT_FALSE(in.is_running());
    in.close();
    EXPECT_TRUE(in.is_closed());
    in.close();
    EXPECT_THROW(in.run("pass"), isthmus::interpreter_error);
    EXPECT_THROW(static_cast<void>(in.eval("1")), isthmus::interpreter_error);
    EXPECT_THROW(static_cast<void>(in.post("len", "x")), isthmus::interpreter_error);
}

TEST(interpreter, values_cross_both_ways) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("def same(x): return x");
    const std::vector<value> samples = isthmus::args(
        nullptr, true, -5, std::int64_t{1} << 62, 2.5, "caf\u00e9 \U0001F40D", isthmus::bytes("raw"),
        std::vector<int>{1, 2, 3}, std::tuple(1, "two", std::vector<double>{}),
        std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}}, std::optional<int>{});
    for (const value& each : samples) {
        EXPECT_EQ(in.call("same", each), each) << each.type_name();
    }
    EXPECT_EQ(in.eval("[1, (2.0, None), {'k': b'v'}]"),
              value::of(value::list{1, std::tuple(2.0, nullptr),
                                    value::of(value::dict{{"k", isthmus::bytes("v")}})}));
}

TEST(interpreter, passes_on_what_only_python_knows) {
    const isthmus::runtime runtime = start();
    interpreter one;
    interpreter other;
    const value number = one.eval("10 ** 30");
    const value complex = one.eval("{1, 2, 3}");
    EXPECT_TRUE(number.is_object());
    EXPECT_EQ(other.call_as<bool>("operator.eq", number, number), true);
    EXPECT_EQ(other.call_as<int>("len", complex), 3);
    EXPECT_THROW(static_cast<void>(number.as<int>()), isthmus::type_error);
}

TEST(interpreter, large_bytes_cross_without_a_copy) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("def check(d): assert type(d) is bytes and len(d) == 1 << 24 and d[7:8] == b'!'; return d\n"
           "def make(): return b'y' * (1 << 24)");
    isthmus::bytes_builder draft(std::size_t{1} << 24);
    draft.data()[7] = std::byte{'!'};
    const isthmus::bytes sent = std::move(draft).publish();
    const long long before = hosts::stat("payload_bytes_copied");
    const auto got = in.call_as<isthmus::bytes>("check", sent);
    EXPECT_TRUE(got.same_memory(sent));
    isthmus::bytes made = in.call_as<isthmus::bytes>("make");
    EXPECT_TRUE(made.shared());
    EXPECT_EQ(made.size(), std::size_t{1} << 24);
    EXPECT_EQ(made.view().substr(0, 3), "yyy");
    const isthmus::bytes copy = made;
    EXPECT_EQ(copy.data(), made.data());
    in.close(); // the memory stays
    EXPECT_EQ(copy.view().find_first_not_of('y'), std::string_view::npos);
    EXPECT_EQ(hosts::stat("payload_bytes_copied"), before);
}

TEST(interpreter, text_crosses_without_a_copy) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("def same(x): assert type(x) is str; return x");
    for (const char* each : {"a", "\u00e9", "\u20ac", "\U0001F40D"}) {
        std::string many;
        for (int i = 0; i < 100'000; ++i) {
            many += each;
        }
        const isthmus::text sent{std::string_view(many)};
        const auto got = in.call_as<isthmus::text>("same", sent);
        EXPECT_TRUE(got.same_memory(sent));
        EXPECT_EQ(got.str(), many);
        EXPECT_EQ(in.call_as<std::string>("ascii", got).size(),
                  in.call_as<std::string>("ascii", many).size());
    }
}

TEST(interpreter, python_exceptions_arrive_whole) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("class Mine(Exception): pass\ndef fail(): raise Mine('no luck') from ValueError('cause')");
    try {
        in.call("fail");
        FAIL();
    } catch (const isthmus::python_error& error) {
        EXPECT_EQ(error.type(), "Mine");
        EXPECT_EQ(error.message(), "no luck");
        EXPECT_STREQ(error.what(), "Mine: no luck");
        EXPECT_NE(error.traceback().find("ValueError: cause"), std::string::npos);
        EXPECT_NE(error.traceback().find("in fail"), std::string::npos);
    }
    EXPECT_THROW(in.run("def"), isthmus::python_error);
    EXPECT_THROW(in.call("nothing_of_that_name"), isthmus::python_error);
    EXPECT_THROW(in.call("no_such_module.f"), isthmus::python_error);
    EXPECT_THROW(in.call(""), isthmus::python_error);
    EXPECT_THROW(in.call("a..b"), isthmus::python_error);
    EXPECT_THROW(in.run("raise SystemExit(3)"), isthmus::python_error);
    EXPECT_THROW(in.run(std::string_view("a\0b", 3)), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(in.eval("lambda: 0").as<int>()), isthmus::error);
    in.run("x = 1"); // all is well afterwards
    EXPECT_EQ(in.eval("x").as<int>(), 1);
}

TEST(interpreter, what_can_not_cross_is_named) {
    const isthmus::runtime runtime = start();
    interpreter in;
    try {
        static_cast<void>(in.eval("[1, open('/dev/null').buffer]"));
        FAIL();
    } catch (const isthmus::not_shareable_error& error) {
        EXPECT_NE(std::string(error.what()).find("[1]"), std::string::npos) << error.what();
    }
}

TEST(interpreter, runs_files) {
    const isthmus::runtime runtime = start();
    interpreter in;
    const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                       ("isthmus_host_" + std::to_string(std::random_device{}()) + ".py");
    std::ofstream(path) << "# -*- coding: latin-1 -*-\nname = __file__\ntext = '\xe9'\n";
    in.run_file(path);
    EXPECT_EQ(in.eval("name").as<std::string>(), path.string());
    EXPECT_EQ(in.eval("text").as<std::string>(), "\u00e9");
    std::filesystem::remove(path);
    const auto why = [&in](const std::filesystem::path& bad) {
        try {
            in.run_file(bad);
        } catch (const std::system_error& error) {
            return error.code();
        }
        return std::error_code();
    };
    EXPECT_EQ(why(path), std::errc::no_such_file_or_directory);
    EXPECT_EQ(why("/"), std::errc::is_a_directory);
}

TEST(interpreter, options_are_heeded_or_refused) {
    using options = isthmus::interpreter_options;
    const isthmus::runtime runtime = start();
    interpreter shared({.lock = options::gil::shared, .processes = true});
    EXPECT_TRUE(shared.eval("__import__('os').fork is not None").as<bool>());
    interpreter narrow({.path = std::vector<std::string>{"/nowhere"}, .path_prefix = {"/first"}});
    EXPECT_EQ(narrow.eval("__import__('sys').path").as<std::vector<std::string>>(),
              (std::vector<std::string>{"/first", "/nowhere"}));
    EXPECT_EQ(narrow.eval("1 + 1").as<int>(), 2);
    EXPECT_THROW(interpreter({.own_memory = false}), std::invalid_argument);
    EXPECT_THROW(interpreter({.lock = options::gil::shared, .own_memory = true}), std::invalid_argument);
    EXPECT_THROW(interpreter({.imports = options::extensions::any}), std::invalid_argument);
    EXPECT_THROW(interpreter({.daemon_threads = true}), std::invalid_argument);
}

TEST(interpreter, one_run_at_a_time) {
    const isthmus::runtime runtime = start();
    interpreter in;
    auto [receiver, sender] = isthmus::create_channel();
    in.set("go", receiver);
    auto [began, begin] = isthmus::create_channel();
    in.set("begin", begin);
    std::thread busy([&] { in.run("begin.send(1); go.recv()"); });
    static_cast<void>(began.recv());
    EXPECT_TRUE(in.is_running());
    EXPECT_THROW(in.run("pass"), isthmus::interpreter_error);
    EXPECT_THROW(in.close(), isthmus::interpreter_error);
    sender.send(1);
    busy.join();
    EXPECT_FALSE(in.is_running());
}

TEST(interpreter, an_endless_run_is_interrupted_and_replaced) {
    const isthmus::runtime runtime = start();
    auto in = std::make_unique<interpreter>();
    auto [began, begin] = isthmus::create_channel();
    in->set("begin", begin);
    std::string type;
    std::thread busy([&, begin = std::move(begin)] {
        try {
            in->run("begin.send(1)\nwhile True: pass");
        } catch (const isthmus::python_error& error) {
            type = error.type();
        }
    });
    static_cast<void>(began.recv());
    EXPECT_TRUE(in->interrupt(isthmus::interruption::timeout_error));
    busy.join();
    EXPECT_EQ(type, "TimeoutError");
    EXPECT_FALSE(in->interrupt());
    in = std::make_unique<interpreter>();
    EXPECT_EQ(in->eval("6 * 7").as<int>(), 42);
}

TEST(interpreter, many_at_once_on_many_threads) {
    const isthmus::runtime runtime = start();
    constexpr int count = 6;
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int i = 0; i < count; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 3; ++round) {
                interpreter in;
                in.run("def f(d, n): return d * n");
                const auto got = in.call_as<isthmus::bytes>("f", isthmus::bytes("ab"), 50'000 + i);
                good += got.size() == 2U * static_cast<std::size_t>(50'000 + i) ? 1 : 0;
            }
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    EXPECT_EQ(good, 3 * count);
}

#include "support.hpp"

#include <stdexcept>
#include <thread>

using hosts::start;
using isthmus::interpreter;
using isthmus::value;

namespace {

int twice(int x) {
    return 2 * x;
}

std::string type_of_failure(interpreter& in, const std::string& source) {
    in.run("import isthmus\ndef attempt(f):\n    try: f()\n    except BaseException as e: return "
           "f'{type(e).__name__}: {e}'\n"
           "    return ''");
    return in.eval("attempt(lambda: " + source + ")").as<std::string>();
}

} // namespace

TEST(host_functions, are_there_in_every_interpreter) {
    isthmus::define_host_function("twice", twice); // before the runtime
    const isthmus::runtime runtime = start();
    interpreter before;
    isthmus::define_host_function("join", [](const std::vector<std::string>& parts, std::string by) {
        std::string whole;
        for (const std::string& each : parts) {
            whole += (whole.empty() ? "" : by) + each;
        }
        return whole;
    });
    int calls = 0;
    isthmus::define_host_function("count", [&calls](std::span<const value> given) {
        ++calls;
        return given.size();
    });
    isthmus::define_host_function("nothing", [] {});
    before.run("import isthmus");
    EXPECT_EQ(before.eval("isthmus.host.twice(21)").as<int>(), 42);
    EXPECT_EQ(before.eval("isthmus.host.join(['a', 'b'], by := '-')").as<std::string>(), "a-b");
    EXPECT_EQ(before.eval("isthmus.host.count(1, None, b'')").as<int>(), 3);
    EXPECT_TRUE(before.eval("isthmus.host.nothing() is None").as<bool>());
    EXPECT_EQ(before.eval("dir(isthmus.host)").as<std::vector<std::string>>(),
              (std::vector<std::string>{"count", "join", "nothing", "twice"}));
    interpreter main = interpreter::main();
    EXPECT_EQ(main.call_as<int>("isthmus.host.twice", 4), 8);
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(isthmus::remove_host_function("twice"));
    EXPECT_FALSE(isthmus::remove_host_function("twice"));
    EXPECT_EQ(type_of_failure(before, "isthmus.host.twice"),
              "AttributeError: the host has no function 'twice'");
}

TEST(host_functions, bad_calls_and_names_are_refused) {
    const isthmus::runtime runtime = start();
    interpreter in;
    isthmus::define_host_function("twice", twice);
    EXPECT_EQ(type_of_failure(in, "isthmus.host.twice()"),
              "TypeError: host.twice() takes 1 positional arguments but 0 were given");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.twice('a')"), "TypeError: int expected, not str");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.twice(2 ** 40)").substr(0, 10), "TypeError:");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.twice(open('/dev/null'))").substr(0, 18),
              "NotShareableError:");
    for (const char* bad : {"", "1a", "a-b", "__all__", "a b", "caf\u00e9"}) {
        EXPECT_THROW(isthmus::define_host_function(bad, twice), std::invalid_argument) << bad;
    }
}

TEST(host_functions, exceptions_become_pythons) {
    const isthmus::runtime runtime = start();
    interpreter in;
    isthmus::define_host_function("fail", [](const std::string& how) -> int {
        if (how == "value") {
            throw std::invalid_argument("bad");
        }
        if (how == "index") {
            throw std::out_of_range("far");
        }
        if (how == "memory") {
            throw std::bad_alloc();
        }
        if (how == "system") {
            throw std::system_error(ENOENT, std::generic_category(), "file");
        }
        if (how == "timeout") {
            throw isthmus::timeout_error("late");
        }
        if (how == "python") {
            throw isthmus::python_error("KeyError", "'k'", "");
        }
        if (how == "foreign") {
            throw isthmus::python_error("their.Error", "text", "");
        }
        throw std::logic_error("else");
    });
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('value')"), "ValueError: bad");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('index')"), "IndexError: far");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('memory')"), "MemoryError: ");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('system')").substr(0, 8), "OSError:");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('timeout')"), "TimeoutError: late");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('python')").substr(0, 9), "KeyError:");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('foreign')"), "RuntimeError: their.Error: text");
    EXPECT_EQ(type_of_failure(in, "isthmus.host.fail('x')"), "RuntimeError: else");
    // And through a run, to C++ again.
    try {
        in.run("isthmus.host.fail('value')");
        FAIL();
    } catch (const isthmus::python_error& error) {
        EXPECT_EQ(error.type(), "ValueError");
    }
}

TEST(host_functions, may_block_and_call_back) {
    const isthmus::runtime runtime = start();
    interpreter in;
    interpreter other;
    other.run("def square(x): return x * x");
    auto [receiver, sender] = isthmus::create_channel();
    isthmus::define_host_function("wait", [&] { return receiver.recv(); });
    isthmus::define_host_function("square_there", [&](int x) { return other.call("square", x); });
    isthmus::define_host_function("deep", [&](int x) {
        const isthmus::entered scope(in);
        return in.call("len", std::string(static_cast<std::size_t>(x), 'x'));
    });
    in.run("import isthmus");
    EXPECT_EQ(in.eval("isthmus.host.square_there(12)").as<int>(), 144);
    EXPECT_EQ(in.eval("isthmus.host.deep(3)").as<int>(), 3);
    std::thread waits([&] { EXPECT_EQ(in.eval("isthmus.host.wait()").as<std::string>(), "done"); });
    sender.send("done"); // a rendezvous: the call has the value now
    waits.join();
    const isthmus::bytes large(std::string(1'000'000, 'q'));
    isthmus::define_host_function("same", [](const isthmus::bytes& data) { return data; });
    in.set("large", large);
    EXPECT_TRUE(in.eval("isthmus.host.same(large) is large").as<bool>());
}

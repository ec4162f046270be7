#include "support.hpp"

#include <filesystem>
#include <fstream>
#include <thread>

#include <unistd.h>

namespace fs = std::filesystem;

using hosts::start;
using isthmus::interpreter;

TEST(runtime, starts_stops_and_starts) {
    for (int life = 0; life < 3; ++life) {
        isthmus::runtime runtime = start();
        EXPECT_TRUE(isthmus::runtime::running());
        interpreter in;
        in.run("data = b'x' * 1_000_000");
        const auto data = in.eval("data").as<isthmus::bytes>();
        runtime.stop(); // `in` is closed with it
        EXPECT_FALSE(isthmus::runtime::running());
        EXPECT_EQ(data.size(), 1'000'000U);
        EXPECT_EQ(data.view().back(), 'x');
        EXPECT_THROW(in.run("pass"), isthmus::interpreter_error);
        runtime.stop();
    }
}

TEST(runtime, is_one_for_all_that_start_it) {
    isthmus::runtime one = start();
    isthmus::runtime other = start();
    one.stop();
    EXPECT_TRUE(isthmus::runtime::running());
    EXPECT_EQ(interpreter().eval("1").as<int>(), 1);
    other.stop();
    EXPECT_FALSE(isthmus::runtime::running());
}

TEST(runtime, is_shared_with_the_python_module) {
    const isthmus::runtime runtime = start();
    interpreter in;
    interpreter main = interpreter::main();
    // Python sees the host's interpreter, the host's channel, and one memory.
    EXPECT_TRUE(
        main.eval("any(i.id == " + std::to_string(in.id()) + " for i in __import__('isthmus').list_all())")
            .as<bool>());
    auto [receiver, sender] = isthmus::create_channel(std::nullopt);
    main.set("s", sender);
    main.run("import isthmus; isthmus.enable(); data = b'z' * 100_000; s.send(data)");
    const auto got = receiver.recv<isthmus::bytes>();
    EXPECT_TRUE(got.shared());
    main.set("again", got);
    EXPECT_TRUE(main.eval("again is data").as<bool>());
}

TEST(runtime, joins_a_python_that_runs_a_program) {
    const isthmus::runtime runtime = start();
    interpreter main = interpreter::main();
    main.run("import isthmus\nother = isthmus.create(name='of python')\nother.exec('x = 5')");
    EXPECT_EQ(main.eval("other.call(eval, 'x')").as<int>(), 5);
    main.run("other.close()");
}

TEST(runtime, needs_to_be_started) {
    EXPECT_FALSE(isthmus::runtime::running());
    EXPECT_THROW(interpreter(), isthmus::interpreter_error);
    EXPECT_THROW(static_cast<void>(interpreter::main()), isthmus::interpreter_error);
    const isthmus::bytes data("works without");
    EXPECT_EQ(data.view(), "works without");
}

TEST(runtime, is_stopped_by_who_started_it) {
    isthmus::runtime runtime = start();
    std::string said;
    std::thread([&] {
        try {
            runtime.stop();
        } catch (const isthmus::interpreter_error& error) {
            said = error.what();
        }
    }).join();
    EXPECT_EQ(said, "the thread that started the runtime stops it");
    {
        interpreter main = interpreter::main();
        const isthmus::entered scope(main);
        EXPECT_THROW(runtime.stop(), isthmus::interpreter_error);
    }
    runtime.stop();
}

TEST(runtime, a_wrong_program_is_refused) {
    try {
        const isthmus::runtime runtime = isthmus::runtime::start({.path = {"/nowhere"}, .isolated = true});
        // Found anyhow: beside the library.
        EXPECT_EQ(interpreter().eval("1").as<int>(), 1);
    } catch (const isthmus::interpreter_error& error) {
        EXPECT_NE(std::string(error.what()).find("isthmus"), std::string::npos);
    }
}

TEST(runtime, passes_over_a_package_that_was_never_built) {
    const fs::path checkout = fs::path(testing::TempDir()) / ("isthmus-unbuilt-" + std::to_string(getpid()));
    fs::create_directories(checkout / "isthmus");
    std::ofstream(checkout / "isthmus" / "__init__.py") << "from isthmus import _isthmus\n";
    {
        const isthmus::runtime runtime =
            isthmus::runtime::start({.program = hosts::program(), .path = {"/nowhere", checkout.string()}});
        interpreter in;
        interpreter main = interpreter::main();
        for (interpreter* const each : {&in, &main}) {
            each->run("import isthmus, sys");
            const auto file = each->eval("isthmus.__file__").as<std::string>();
            EXPECT_NE(file.substr(0, checkout.string().size()), checkout.string());
            // It is where it was, behind the one that is used.
            const auto path = each->eval("sys.path[:3]").as<std::vector<std::string>>();
            EXPECT_EQ(path.front(), "/nowhere");
            EXPECT_EQ(path.back(), checkout.string());
        }
    }
    fs::remove_all(checkout);
}

TEST(runtime, stop_interrupts_what_still_runs) {
    isthmus::runtime runtime = start();
    interpreter in;
    auto [began, begin] = isthmus::create_channel();
    in.set("begin", begin);
    std::string type;
    std::thread busy([&] {
        try {
            in.run("begin.send(1)\nwhile True: pass");
        } catch (const isthmus::python_error& error) {
            type = error.type();
        }
    });
    static_cast<void>(began.recv());
    runtime.stop();
    busy.join();
    EXPECT_EQ(type, "KeyboardInterrupt");
}

/// The process ends with interpreters, threads of theirs, and posted calls.
TEST(runtime, may_be_left_without_stop) {
    auto* const runtime = new isthmus::runtime(start()); // NOLINT: never stopped
    auto* const in = new interpreter();                  // NOLINT
    in->run("import threading, isthmus\n"
            "r, s = isthmus.create_channel()\n"
            "threading.Thread(target=r.recv).start()\n"
            "keep = b'x' * 1_000_000");
    EXPECT_EQ(in->post("len", "abc").result<int>(), 3);
    EXPECT_NE(runtime, nullptr);
}

#include "support.hpp"

#include <thread>

using hosts::start;
using isthmus::closed_event;
using isthmus::interpreter;

TEST(closed, is_waited_for_and_selected_on) {
    const isthmus::runtime runtime = start();
    interpreter in;
    const closed_event closed = in.closed();
    EXPECT_FALSE(closed.is_set());
    auto [receiver, sender] = isthmus::create_channel();
    std::thread selects([&, &r = receiver] { EXPECT_EQ(isthmus::select({r, closed}).index, 1U); });
    std::thread waits([&] { EXPECT_TRUE(closed.wait()); });
    in.close();
    selects.join();
    waits.join();
    EXPECT_TRUE(closed.is_set());
    EXPECT_EQ(in.closed(), closed);
    EXPECT_TRUE(in.closed().is_set());
}

TEST(closed, is_pythons_closed_event) {
    const isthmus::runtime runtime = start();
    interpreter watched;
    interpreter in;
    in.set("closed", watched.closed());
    EXPECT_EQ(in.eval("closed").as<closed_event>(), watched.closed());
    EXPECT_FALSE(in.eval("closed.is_set()").as<bool>());
    std::thread waits([&] { in.run("closed.wait()"); });
    watched.close();
    waits.join();
    isthmus::interpreter::main().run("import isthmus\nmade = isthmus.create()\ndef end(): made.close()");
    const auto of_python = interpreter::main().eval("made.closed").as<closed_event>();
    EXPECT_FALSE(of_python.wait(std::chrono::milliseconds(1)));
    interpreter::main().call("end");
    EXPECT_TRUE(of_python.wait());
}

TEST(closed, outlives_the_runtime) {
    std::optional<closed_event> kept;
    {
        const isthmus::runtime runtime = start();
        interpreter left;
        kept = left.closed();
    }
    EXPECT_TRUE(kept->wait());
}

#include "support.hpp"

#include <set>

using hosts::start;

TEST(executor, runs_calls_in_all_of_its_interpreters) {
    const isthmus::runtime runtime = start();
    isthmus::executor pool(
        2, "import isthmus\ndef who(): return isthmus.get_current().id\ndef fail(): raise ValueError('x')");
    EXPECT_EQ(pool.workers(), 2U);
    auto [receiver, sender] = isthmus::create_channel();
    // A rendezvous between two of its calls: both workers are in one at the same time.
    auto first = pool.submit("len", std::vector<int>{1, 2});
    EXPECT_EQ(first.get().as<int>(), 2);
    std::vector<std::future<isthmus::value>> futures;
    for (int i = 0; i < 50; ++i) {
        futures.push_back(pool.submit("abs", -i));
    }
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(futures[static_cast<std::size_t>(i)].get().as<int>(), i);
    }
    EXPECT_THROW(pool.submit("fail").get(), isthmus::python_error);
    auto sends = pool.submit("operator.methodcaller", "x");
    EXPECT_TRUE(sends.get().is_object());
}

TEST(executor, reload_replaces_every_interpreter_and_loses_no_call) {
    const isthmus::runtime runtime = start();
    isthmus::executor pool(2, "def version(): return 1");
    std::vector<std::future<isthmus::value>> futures;
    for (int i = 0; i < 40; ++i) {
        futures.push_back(pool.submit("version"));
    }
    pool.reload("def version(): return 2");
    for (int i = 0; i < 40; ++i) {
        futures.push_back(pool.submit("version"));
    }
    for (std::size_t i = 0; i < futures.size(); ++i) {
        const int version = futures[i].get().as<int>();
        EXPECT_TRUE(version == 2 || (version == 1 && i < 40)) << i;
    }
    EXPECT_THROW(pool.reload("def"), isthmus::python_error); // and all goes on
    EXPECT_EQ(pool.submit("version").get().as<int>(), 2);
}

TEST(executor, shutdown_ends_or_cancels) {
    const isthmus::runtime runtime = start();
    isthmus::executor pool(1, "import isthmus");
    auto [receiver, sender] = isthmus::create_channel(std::nullopt);
    auto held = pool.submit("isthmus.select", receiver);
    std::vector<std::future<isthmus::value>> waiting;
    for (int i = 0; i < 3; ++i) {
        waiting.push_back(pool.submit("abs", i));
    }
    sender.send(1);
    pool.shutdown();
    for (auto& each : waiting) {
        EXPECT_NO_THROW(each.get());
    }
    EXPECT_NO_THROW(held.get());
    EXPECT_THROW(static_cast<void>(pool.submit("abs", 1)), isthmus::interpreter_error);
    pool.shutdown(true);
}

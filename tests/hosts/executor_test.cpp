#include "support.hpp"

#include <atomic>
#include <chrono>
#include <future>

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

TEST(executor, tells_a_callback_once_whatever_becomes_of_the_call) {
    const isthmus::runtime runtime = start();
    isthmus::executor pool(1, "def fail(): raise ValueError('x')");
    std::promise<std::future<isthmus::value>> good;
    std::promise<std::future<isthmus::value>> bad;
    pool.submit_then("abs", isthmus::args(-1), [&](auto outcome) { good.set_value(std::move(outcome)); });
    pool.submit_then("fail", {}, [&](auto outcome) { bad.set_value(std::move(outcome)); });
    EXPECT_EQ(good.get_future().get().get().as<int>(), 1);
    EXPECT_THROW(bad.get_future().get().get(), isthmus::python_error);
    pool.shutdown();
    bool told = false;
    EXPECT_THROW(pool.submit_then("abs", isthmus::args(1), [&](auto) { told = true; }),
                 isthmus::interpreter_error);
    EXPECT_FALSE(told);
}

TEST(executor, interrupts_a_call_that_exceeds_its_limit_and_goes_on) {
    using namespace std::chrono_literals;
    const isthmus::runtime runtime = start();
    isthmus::executor pool(1, "def loop():\n    while True: pass\n"
                              "def stubborn():\n    try: loop()\n    except KeyboardInterrupt: loop()\n");
    for (const char* const name : {"loop", "stubborn"}) {
        std::promise<std::future<isthmus::value>> told;
        pool.submit_then(
            name, {}, [&](auto outcome) { told.set_value(std::move(outcome)); }, 20ms);
        // Waits for longer than its own limit, which begins when it runs.
        auto after = pool.submit("abs", -2);
        EXPECT_THROW(told.get_future().get().get(), isthmus::timeout_error);
        EXPECT_EQ(after.get().as<int>(), 2);
    }
    std::atomic<int> good = 0;
    for (int i = 0; i < 200; ++i) {
        pool.submit_then(
            "abs", isthmus::args(-i), [&, i](auto outcome) { good += outcome.get() == i; }, 10s);
    }
    pool.shutdown();
    EXPECT_EQ(good, 200);
    EXPECT_THROW(pool.submit_then(
                     "abs", {}, [](auto) {}, 0s),
                 std::invalid_argument);
}

TEST(executor, moves_with_the_calls_that_wait) {
    const isthmus::runtime runtime = start();
    isthmus::executor first(1, "def f(n): return n + 1");
    std::future<isthmus::value> early = first.submit("f", 1);
    isthmus::executor second(std::move(first));
    std::future<isthmus::value> late = second.submit("f", 2);
    isthmus::executor third(1, "def f(n): return -n");
    std::future<isthmus::value> of_third = third.submit("f", 3);
    third = std::move(second);
    EXPECT_EQ(of_third.get().as<int>(), -3) << "what was there before was shut down, not cancelled";
    EXPECT_EQ(early.get().as<int>(), 2);
    EXPECT_EQ(late.get().as<int>(), 3);
    EXPECT_EQ(third.submit("f", 4).get().as<int>(), 5);
    first = isthmus::executor(1, "def f(n): return 0");
    EXPECT_EQ(first.submit("f", 4).get().as<int>(), 0);
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

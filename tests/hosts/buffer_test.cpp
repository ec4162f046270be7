#include "support.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

using hosts::start;
using isthmus::buffer;
using isthmus::bytes;
using isthmus::entered;
using isthmus::interpreter;
using isthmus::shared_buffer;
using isthmus::value;

namespace {

/// Memory that tells when it ends.
template <typename T> struct lent {
    explicit lent(std::size_t count) : items(count) {}
    std::vector<T> items;
    std::shared_ptr<std::atomic<bool>> ended = std::make_shared<std::atomic<bool>>(false);

    [[nodiscard]] std::shared_ptr<const void> keep() const {
        return {this, [told = ended](const void*) { *told = true; }};
    }
};

std::vector<std::ptrdiff_t> listed(std::span<const std::ptrdiff_t> numbers) {
    return {numbers.begin(), numbers.end()};
}

/// Releases that were posted to it before have been run then: what is posted to it keeps its order.
void settle(interpreter& in) {
    EXPECT_FALSE(in.post("callable", 1).result<bool>());
}

} // namespace

TEST(buffer, of_the_host_is_a_memoryview_of_the_same_memory) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("def look(v):\n"
           "    assert type(v) is memoryview\n"
           "    v[3] = 2.5\n"
           "    return v.format, v.itemsize, v.shape, v.strides, v.readonly, v.nbytes, v[7], repr(v.obj)\n");
    lent<double> memory(1'000'000);
    memory.items[7] = 7;
    const auto [format, item_size, shape, strides, read_only, size, seventh, shown] = in.call_as<
        std::tuple<std::string, int, std::tuple<int>, std::tuple<int>, bool, long, double, std::string>>(
        "look", buffer(memory.items, memory.keep()));
    EXPECT_EQ(format, "d");
    EXPECT_EQ(item_size, 8);
    EXPECT_EQ(std::get<0>(shape), 1'000'000);
    EXPECT_EQ(std::get<0>(strides), 8);
    EXPECT_FALSE(read_only);
    EXPECT_EQ(size, 8'000'000);
    EXPECT_EQ(seventh, 7);
    EXPECT_EQ(shown, "<isthmus.View of 8000000 bytes owned by the host>");
    EXPECT_EQ(memory.items[3], 2.5);
    EXPECT_TRUE(*memory.ended) << "the call is over, and nobody kept it";
    EXPECT_EQ(hosts::stat("payload_bytes_copied"), 0);
    EXPECT_EQ(hosts::stat("views_live"), 0);
}

TEST(buffer, of_the_host_lives_as_long_as_anything_in_python_shows_it) {
    const isthmus::runtime runtime = start();
    interpreter one;
    interpreter other;
    lent<char> memory(100);
    one.set("v", buffer(memory.items, memory.keep()));
    one.run("part = v[10:20]; del v");
    EXPECT_FALSE(*memory.ended);
    other.set("part", one.eval("part")); // sent on, by a host that kept nothing
    one.run("del part");
    EXPECT_FALSE(*memory.ended);
    other.run("part[0] = 65");
    EXPECT_EQ(memory.items[10], 'A');
    std::optional<buffer> back = other.eval("part").as<buffer>();
    other.run("del part");
    EXPECT_FALSE(*memory.ended);
    EXPECT_EQ(back->data(), reinterpret_cast<const std::byte*>(&memory.items[10]));
    EXPECT_EQ(back->size(), 10U);
    back.reset();
    EXPECT_TRUE(*memory.ended);
}

TEST(buffer, of_the_host_ends_with_the_interpreter_that_keeps_it) {
    const isthmus::runtime runtime = start();
    lent<int> memory(10);
    {
        interpreter in;
        in.set("v", buffer(memory.items, memory.keep()));
        EXPECT_TRUE(in.eval("__import__('isthmus').owner(v) is None").as<bool>());
        EXPECT_EQ(in.eval("__import__('isthmus').describe(v)")["kind"].as<std::string>(), "view");
    }
    EXPECT_TRUE(*memory.ended);
    EXPECT_EQ(hosts::stat("views_orphaned"), 0);
    EXPECT_EQ(hosts::stat("views_live"), 0);
}

TEST(buffer, read_only_and_of_several_dimensions) {
    const isthmus::runtime runtime = start();
    interpreter in;
    std::vector<std::int16_t> pixels(6 * 8);
    std::iota(pixels.begin(), pixels.end(), std::int16_t{0});
    const buffer image(std::as_const(pixels), {.shape = {6, 4}, .strides = {16, 2}}, nullptr);
    in.run("def look(v):\n"
           "    try: v[0, 0] = 1\n"
           "    except TypeError: return v.tolist(), v.shape, v.strides, v.contiguous\n");
    const value told = in.call("look", image);
    EXPECT_EQ(told[0][5][3].as<int>(), 43);
    EXPECT_EQ(told[1], value(std::tuple(6, 4)));
    EXPECT_EQ(told[2], value(std::tuple(16, 2)));
    EXPECT_FALSE(told[3].as<bool>());
    const auto back = in.call_as<buffer>("memoryview", image);
    EXPECT_EQ(back.data(), image.data());
    EXPECT_EQ(listed(back.strides()), listed(image.strides()));
    EXPECT_TRUE(back.read_only());
}

TEST(buffer, bytes_as_a_memoryview) {
    const isthmus::runtime runtime = start();
    interpreter in;
    const bytes large(std::string(1'000'000, 'x'));
    in.set("whole", large);
    in.set("v", buffer(large));
    EXPECT_TRUE(in.eval("__import__('isthmus').same_memory(whole, v)").as<bool>());
    EXPECT_TRUE(in.eval("v == whole").as<bool>());
    EXPECT_EQ(hosts::stat("payload_bytes_copied"), 0);
}

// ---- what Python exports

TEST(buffer, of_a_python_exporter_is_written_where_it_lies) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("a = bytearray(1_000_000)\n"
           "def resize():\n"
           "    try: a.append(1)\n"
           "    except BufferError: return False\n"
           "    return True\n");
    std::optional<buffer> b = in.eval("memoryview(a)").as<buffer>();
    EXPECT_EQ(b->size(), 1'000'000U);
    EXPECT_FALSE(b->read_only());
    b->items<char>()[999'999] = 'Z';
    EXPECT_EQ(in.eval("a[-1]").as<int>(), 'Z');
    EXPECT_FALSE(in.call_as<bool>("resize"));
    EXPECT_EQ(in.eval("__import__('isthmus').stats().views_live").as<int>(), 1);
    std::thread([&] { b.reset(); }).join(); // on any thread: its own runs the release
    settle(in);
    EXPECT_TRUE(in.call_as<bool>("resize"));
    EXPECT_EQ(hosts::stat("views_live"), 0);
}

TEST(buffer, is_released_at_once_by_a_thread_that_is_there) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("a = bytearray(10)");
    std::optional<buffer> b = in.eval("memoryview(a)").as<buffer>();
    const entered scope(in);
    b.reset();
    in.run("a.append(1)");
}

TEST(buffer, of_a_python_exporter_has_its_layout) {
    const isthmus::runtime runtime = start();
    interpreter in;
    in.run("import array, mmap\n"
           "numbers = array.array('d', range(24))\n"
           "cube = memoryview(numbers).cast('B').cast('d', (2, 3, 4))\n"
           "backwards = memoryview(numbers)[::-2]\n"
           "anonymous = mmap.mmap(-1, 8192)\n");
    const auto cube = in.eval("cube").as<buffer>();
    EXPECT_EQ(listed(cube.shape()), (std::vector<std::ptrdiff_t>{2, 3, 4}));
    EXPECT_EQ(listed(cube.strides()), (std::vector<std::ptrdiff_t>{96, 32, 8}));
    EXPECT_EQ(cube.items<const double>()[23], 23.0);
    EXPECT_THROW(static_cast<void>(cube.items<const float>()), isthmus::type_error);
    const auto backwards = in.eval("backwards").as<buffer>();
    EXPECT_EQ(listed(backwards.strides()), std::vector<std::ptrdiff_t>{-16});
    EXPECT_FALSE(backwards.contiguous());
    double last = 0;
    std::memcpy(&last, backwards.data() + 11 * backwards.strides()[0], sizeof last);
    EXPECT_EQ(last, 1.0);
    const auto mapped = in.eval("anonymous").as<buffer>();
    mapped.items<char>()[8191] = 'm';
    EXPECT_EQ(in.eval("anonymous[8191]").as<int>(), 'm');
}

TEST(buffer, outlives_its_interpreter_and_the_runtime) {
    std::optional<buffer> of_closed;
    std::optional<buffer> of_main;
    {
        const isthmus::runtime runtime = start();
        {
            interpreter in;
            in.run("a = bytearray(b'closed' * 20_000)");
            of_closed = in.eval("memoryview(a)").as<buffer>();
        }
        EXPECT_EQ(hosts::stat("views_orphaned"), 1);
        EXPECT_EQ(std::memcmp(of_closed->span().data() + 119'994, "closed", 6), 0);
        of_main = interpreter::main().eval("memoryview(bytearray(b'main' * 20_000))").as<buffer>();
    }
    EXPECT_EQ(std::memcmp(of_closed->span().data() + 119'994, "closed", 6), 0);
    EXPECT_EQ(std::memcmp(of_main->span().data() + 79'996, "main", 4), 0);
    of_closed.reset();
    of_main.reset();
}

TEST(buffer, in_host_functions_both_ways) {
    const isthmus::runtime runtime = start();
    lent<std::int32_t> table(1000);
    std::iota(table.items.begin(), table.items.end(), 0);
    isthmus::define_host_function("table", [&] { return buffer(std::as_const(table.items), table.keep()); });
    isthmus::define_host_function(
        "fill", [](const buffer& b, int with) { std::ranges::fill(b.items<std::int32_t>(), with); });
    interpreter in;
    in.run("import array, isthmus\n"
           "assert sum(isthmus.host.table()) == 499_500\n"
           "a = array.array('i', [0] * 100)\n"
           "isthmus.host.fill(memoryview(a), 7)\n"
           "assert a[99] == 7\n"
           "try: isthmus.host.fill(memoryview(array.array('d', [0])), 7)\n"
           "except TypeError as error: assert \"'i'\" in str(error), error\n"
           "else: raise AssertionError\n"
           "try: isthmus.host.fill(memoryview(bytes(4)).cast('i'), 7)\n"
           "except TypeError as error: assert 'read-only' in str(error), error\n"
           "else: raise AssertionError\n"
           "a.append(1)\n");
    EXPECT_TRUE(*table.ended);
    EXPECT_EQ(hosts::stat("views_live"), 0);
}

TEST(buffer, shared_memory_with_python) {
    const isthmus::runtime runtime = start();
    interpreter in;
    const shared_buffer counters(64);
    in.set("counters", counters);
    std::thread counting([&] {
        in.run("words = counters.atomic('q')\n"
               "for _ in range(1000): words.add(0, 1)\n"
               "while not words.load(2): words.wait(2, 0)\n"
               "words.store(1, 5); words.notify(1)\n");
    });
    const auto words = counters.items<std::int64_t>();
    for (int i = 0; i < 1000; ++i) {
        std::atomic_ref(words[0]).fetch_add(1);
    }
    std::atomic_ref(words[2]).store(1);
    counters.notify<std::int64_t>(2);
    while (std::atomic_ref(words[1]).load() == 0) {
        static_cast<void>(counters.wait<std::int64_t>(1, 0));
    }
    counting.join();
    EXPECT_EQ(words[0], 2000);
    EXPECT_EQ(in.eval("counters").as<shared_buffer>(), counters);
    const value atomic = in.eval("words");
    EXPECT_TRUE(atomic.is_object());
    interpreter::main().run("def load(words): return words.load(1)");
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(interpreter::main().call_as<int>("load", atomic), 5) << "as often as one likes";
    }
}

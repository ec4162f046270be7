/// 256 MiB to four interpreters and back: what the guide shows, and how long each hand-over took.
#include <isthmus/python.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>

int main(int, char** argv) {
    const isthmus::runtime runtime = isthmus::runtime::start({.program = argv[1] != nullptr ? argv[1] : ""});
    isthmus::bytes_builder draft(std::size_t{256} << 20);
    std::memset(draft.data(), 'x', draft.size());
    const isthmus::bytes sent = std::move(draft).publish();
    for (int i = 0; i < 4; ++i) {
        isthmus::interpreter in;
        in.run("def back(data):\n    assert type(data) is bytes and data[-1:] in b'mx'\n    return data");
        static_cast<void>(in.call("back", isthmus::bytes("warm")));
        const auto start = std::chrono::steady_clock::now();
        const auto got = in.call_as<isthmus::bytes>("back", sent);
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
        std::printf("%s %.1f us\n", got.same_memory(sent) ? "same memory" : "copied", took.count());
    }
    const isthmus::value copied =
        isthmus::interpreter::main().eval("__import__('isthmus').stats().payload_bytes_copied");
    std::printf("%lld bytes copied\n", copied.as<long long>());
}

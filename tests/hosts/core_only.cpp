/// Threads that pass memory to each other, with no Python in the process.
#include <isthmus/core.hpp>

#include <cstdio>
#include <thread>

int main() {
    auto [receiver, sender] = isthmus::create_channel();
    isthmus::bytes_builder draft(std::size_t{1} << 20);
    draft.data()[0] = std::byte{42};
    const isthmus::bytes sent = std::move(draft).publish();
    std::thread other([&] { sender.send(sent); });
    const auto got = receiver.recv<isthmus::bytes>();
    other.join();
    std::puts(got.same_memory(sent) && got.data()[0] == std::byte{42} ? "same memory" : "wrong");
}

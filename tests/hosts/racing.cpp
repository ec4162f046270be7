/// racing PYTHON apart|together: shows that ThreadSanitizer sees what orders threads, and what does not.
///
/// Two threads add to a plain int, each inside an interpreter. `apart`: each has one of its own, and so a GIL
/// of its own: a data race. `together`: both enter the same one, whose GIL is all that keeps them apart.
#include <isthmus/python.hpp>

#include <array>
#include <latch>
#include <string_view>
#include <thread>

int main(int argc, char** argv) {
    if (argc != 3) {
        return 2;
    }
    const bool apart = std::string_view(argv[2]) == "apart";
    const isthmus::runtime runtime = isthmus::runtime::start({.program = argv[1]});
    std::array<isthmus::interpreter, 2> interpreters;
    std::latch both_inside(2);
    int count = 0;
    const auto add = [&](isthmus::interpreter& in) {
        for (int i = 0; i < 100; ++i) {
            const isthmus::entered scope(in);
            if (apart && i == 0) {
                both_inside.arrive_and_wait();
            }
            ++count;
        }
    };
    std::thread other([&] { add(interpreters[apart ? 1 : 0]); });
    add(interpreters[0]);
    other.join();
    return apart || count == 200 ? 0 : 1;
}

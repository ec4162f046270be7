/// Part of the programs of the preset `coverage`: no count is lost with a process that leaves by _exit.
///
/// The linker sends the calls of our code here, sitecustomize.py those of Python's os._exit.
extern "C" {
#include <gcov.h> // of a compiler for C

[[noreturn]] void __real__exit(int status);

[[gnu::visibility("default")]] void isthmus_write_counts() {
    __gcov_dump();
    __gcov_reset();
}

[[noreturn]] void __wrap__exit(int status) {
    isthmus_write_counts();
    __real__exit(status);
}
[[noreturn]] void __wrap__Exit(int status) {
    __wrap__exit(status);
}
}

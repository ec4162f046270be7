/// The smallest useful plug-in host: plugins DIRECTORY [PYTHON]
///
/// Every *.py of the directory gets an isolated interpreter. It defines `transform(data)`, and may call
/// `isthmus.host.log(text)`. PYTHON is that of a virtual environment.
#include <isthmus/python.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <set>

using isthmus::interpreter, isthmus::value;
namespace fs = std::filesystem;

constexpr std::chrono::milliseconds limit{3000};

/// What `work` gives; if that takes too long it is interrupted, until it gives in.
value in_time(interpreter& in, const std::function<value()>& work) {
    std::future<value> done = std::async(std::launch::async, work);
    if (done.wait_for(limit) == std::future_status::ready) {
        return done.get();
    }
    do {
        in.interrupt(isthmus::interruption::timeout_error);
    } while (done.wait_for(limit) != std::future_status::ready);
    std::string where;
    try {
        done.get();
    } catch (const isthmus::python_error& error) {
        where = "\n" + error.traceback();
    }
    throw isthmus::timeout_error("interrupted after " + std::to_string(limit.count()) + " ms" + where);
}

interpreter load(const fs::path& path) {
    interpreter in({.name = path.stem().string()});
    in_time(in, [&] { return in.run_file(path), value(); });
    if (!in.eval("callable(globals().get('transform'))").as<bool>()) {
        throw isthmus::error("there is no function transform(data)");
    }
    return in;
}

/// Calls it, and puts a fresh interpreter in the place of one that had to be interrupted.
void transform(interpreter& in, const fs::path& path, const isthmus::bytes& data) try {
    const auto start = std::chrono::steady_clock::now();
    const value result = in_time(in, [&] { return in.call("transform", data); });
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    const auto* const made = result.get_if<isthmus::bytes>();
    const std::string shown = made != nullptr ? std::to_string(made->size()) + " bytes"
                                              : interpreter::main().call_as<std::string>("repr", result);
    std::printf("%s: %s, %.1f ms\n", path.stem().c_str(), shown.c_str(), took.count());
} catch (const isthmus::timeout_error&) {
    in = load(path);
    throw;
}

/// Whether it went well. What one plug-in does wrong is reported, and no matter to the others.
bool attempt(const fs::path& path, const std::function<void()>& work) {
    try {
        return work(), true;
    } catch (const isthmus::python_error& error) {
        std::printf("%s failed: %s\n", path.stem().c_str(), error.traceback().c_str());
    } catch (const std::exception& error) {
        std::printf("%s failed: %s\n", path.stem().c_str(), error.what());
    }
    return false;
}

int main(int argc, char** argv) try {
    if (argc < 2 || !fs::is_directory(argv[1])) {
        throw std::invalid_argument(argc < 2 ? "usage: plugins DIRECTORY [PYTHON]"
                                             : "no directory: " + std::string(argv[1]));
    }
    const isthmus::runtime runtime = isthmus::runtime::start({.program = argc > 2 ? argv[2] : ""});
    isthmus::define_host_function("log",
                                  [](const std::string& text) { std::printf("  %s\n", text.c_str()); });
    isthmus::bytes_builder draft(std::size_t{256} << 20);
    std::memset(draft.data(), 'x', draft.size());
    const isthmus::bytes large = std::move(draft).publish();
    const isthmus::bytes small("two\nlines\n");
    std::set<fs::path> paths{fs::directory_iterator(argv[1]), fs::directory_iterator()};
    std::erase_if(paths, [](const fs::path& path) { return path.extension() != ".py"; });
    bool good = true;
    for (const fs::path& path : paths) {
        good &= attempt(path, [&] {
            interpreter in = load(path);
            good &= attempt(path, [&] { transform(in, path, large); });
            good &= attempt(path, [&] { transform(in, path, small); });
        });
    }
    const value copied = interpreter::main().eval("__import__('isthmus').stats().payload_bytes_copied");
    std::printf("%zu plug-ins, %lld payload bytes copied\n", paths.size(), copied.as<long long>());
    return good ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "plugins: %s\n", error.what());
    return 2;
}

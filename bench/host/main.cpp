/// What the C++ interface costs: host_bench PYTHON ROUNDS BATCH_SECONDS call|call-none|post|handover SIZE
///
/// Prints nanoseconds per operation as JSON, isthmus first: [["isthmus", [...]], ["peer", [...]]].
#include <isthmus/python.hpp>

#include <Python.h>

#include "measure.hpp"

#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using bench::contender, bench::repeated;
using isthmus::interpreter;

constexpr char functions[] = "def same(x): return x\n"
                             "def zero(): return 0\n";

// ---- calls of a trivial function by a thread that is inside

std::vector<contender> measured_calls(const bench::settings& how, bool with_argument) {
    interpreter in;
    in.run(functions);
    isthmus::function f = in.function(with_argument ? "same" : "zero");
    const isthmus::entered scope(in);
    PyObject* const main = PyImport_AddModule("__main__");
    PyObject* const callable = PyObject_GetAttrString(main, with_argument ? "same" : "zero");
    long long n = 0;
    long long sum = 0; // so that nothing is left out
    const auto bare = [&] {
        PyObject* given[2] = {nullptr, with_argument ? PyLong_FromLongLong(++n + 1'000) : nullptr};
        const std::size_t count = with_argument ? 1 : 0;
        PyObject* const result =
            PyObject_Vectorcall(callable, given + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
        Py_XDECREF(given[1]);
        sum += PyLong_AsLongLong(result);
        Py_DECREF(result);
    };
    std::vector<contender> all;
    if (with_argument) {
        all.push_back({"isthmus", repeated([&] { sum += f.call_as<long long>(++n + 1'000); })});
        all.push_back({"isthmus, to a value", repeated([&] { sum += f(++n + 1'000).as<long long>(); })});
    } else {
        all.push_back({"isthmus", repeated([&] { sum += f.call_as<long long>(); })});
        all.push_back({"isthmus, to a value", repeated([&] { sum += f().as<long long>(); })});
    }
    all.push_back({"bare C API", repeated(bare)});
    measure(all, how);
    Py_DECREF(callable);
    if (with_argument && sum == 0) {
        throw std::logic_error("nothing was called");
    }
    return all;
}

// ---- an interpreter that answers

/// Receives and sends back, in an interpreter of its own.
class echo {
  public:
    echo() {
        auto [there, ask] = isthmus::create_channel(1);
        auto [answer, back] = isthmus::create_channel(1);
        ask_ = std::make_unique<isthmus::send_channel>(ask);
        answer_ = std::make_unique<isthmus::recv_channel>(answer);
        in_.set("there", there);
        in_.set("back", back);
        thread_ = std::thread([this] { in_.run("for each in there:\n    back.send(each)\n    del each"); });
    }
    ~echo() {
        ask_->close();
        thread_.join();
    }
    echo(const echo&) = delete;
    echo& operator=(const echo&) = delete;

    isthmus::value operator()(const isthmus::value& what) {
        ask_->send(what);
        return answer_->recv();
    }

  private:
    interpreter in_;
    std::unique_ptr<isthmus::send_channel> ask_;
    std::unique_ptr<isthmus::recv_channel> answer_;
    std::thread thread_;
};

std::vector<contender> measured_posts(const bench::settings& how) {
    interpreter in;
    in.run(functions);
    echo answers;
    std::vector<contender> all;
    all.push_back({"isthmus", repeated([&] { static_cast<void>(in.post("same", 1).result()); })});
    all.push_back({"channel round trip", repeated([&] { static_cast<void>(answers(1)); })});
    measure(all, how);
    return all;
}

std::vector<contender> measured_handovers(const bench::settings& how, std::size_t size) {
    isthmus::bytes_builder draft(size);
    std::memset(draft.data(), 'x', size);
    const isthmus::bytes data = std::move(draft).publish();
    echo answers;
    if (!answers(data).as<isthmus::bytes>().same_memory(data)) {
        throw std::logic_error("what came back is not the memory that was sent");
    }
    const auto room = std::make_unique<std::byte[]>(size);
    std::vector<contender> all;
    all.push_back({"isthmus", repeated([&] { static_cast<void>(answers(data)); })});
    all.push_back({"copied twice", repeated([&] {
                       for (int way = 0; way < 2; ++way) {
                           std::memcpy(room.get(), data.data(), size);
                           asm volatile("" : : "r"(room.get()) : "memory"); // somebody may read it
                       }
                   })});
    measure(all, how);
    return all;
}

void print(const std::vector<contender>& all) {
    const char* before = "[";
    for (const contender& each : all) {
        std::printf("%s[\"%s\", [", before, each.name.c_str());
        for (std::size_t i = 0; i < each.samples.size(); ++i) {
            std::printf("%s%.1f", i == 0 ? "" : ", ", each.samples[i]);
        }
        std::printf("]]");
        before = ", ";
    }
    std::printf("]\n");
}

} // namespace

int main(int argc, char** argv) try {
    if (argc < 5) {
        throw std::invalid_argument("usage: host_bench PYTHON ROUNDS BATCH_SECONDS "
                                    "call|call-none|post|handover [SIZE]");
    }
    const isthmus::runtime runtime = isthmus::runtime::start({.program = argv[1]});
    const bench::settings how{std::stoi(argv[2]), std::stod(argv[3])};
    const std::string what = argv[4];
    if (what == "call" || what == "call-none") {
        print(measured_calls(how, what == "call"));
    } else if (what == "post") {
        print(measured_posts(how));
    } else if (what == "handover" && argc > 5) {
        print(measured_handovers(how, std::stoul(argv[5])));
    } else {
        throw std::invalid_argument("no such measurement: " + what);
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "host_bench: %s\n", error.what());
    return 2;
}

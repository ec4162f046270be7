/// The fuzzers' part of the extension: built into it by the preset `fuzz` only, with libFuzzer, and called by
/// tests/fuzz/run.py through ctypes in the main interpreter, under its GIL.
///
/// The decoder's fuzzer takes an input for a parcel: its first byte says how many shares and attachments come
/// with it, the rest is its data. The round trip's takes it for a recipe (tests/fuzz/recipes.py).
#include "crossing/crossing.hpp"
#include "crossing/kinds.hpp"
#include "crossing/reader.hpp"

#include "cpython/current.hpp"
#include "cpython/refs.hpp"

#include "core/message.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
int LLVMFuzzerRunDriver(int* argc, char*** argv, int (*one)(const std::uint8_t*, std::size_t));
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t room);
// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
[[gnu::visibility("default")]] std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                                   std::size_t room, unsigned seed);
}

namespace isthmus::fuzzing {
namespace {

using py::ref;
using py::require;

/// What Python gives: borrowed for as long as the process lives, since the driver ends it.
struct {
    PyObject* props = nullptr;      ///< list: what shares and attachments are made of
    PyObject* build = nullptr;      ///< recipe -> value; None: the decoder is fuzzed
    PyObject* same = nullptr;       ///< (sent, received) -> whether they are alike
    PyObject* checkpoint = nullptr; ///< raises if something was left behind
} hooks;

[[noreturn]] void die(const char* why) {
    std::fprintf(stderr, "isthmus: %s\n", why);
    if (PyErr_Occurred() != nullptr) {
        PyErr_Print();
    }
    std::abort();
}

core::interpreter& here() {
    core::interpreter* const found = py::current_interpreter();
    if (found == nullptr) {
        die("no interpreter");
    }
    return *found;
}

/// Parcels hold more shares and attachments than inputs ask for; `of` is what they are cut to.
core::parcel parcel_of(const std::uint8_t* input, std::size_t size) {
    constexpr std::size_t part = 4; // bits of the first byte
    core::parcel made;
    const std::size_t shares = input[0] & ((1U << part) - 1);
    const std::size_t attachments = input[0] >> part;
    if (shares != 0 || attachments != 0) {
        core::message whole = crossing::encode(here(), hooks.props);
        made = std::move(*whole.body());
        made.shares.resize(std::min(made.shares.size(), shares));
        made.attachments.resize(std::min(made.attachments.size(), attachments));
        made.data.clear();
    }
    made.data.append(input + 1, size - 1);
    return made;
}

/// Decodes, and encodes what comes out: it must be sound.
void decode(const std::uint8_t* input, std::size_t size) {
    try {
        core::parcel body = parcel_of(input, size);
        const ref value = crossing::reader(here(), body).read();
        if (PyErr_Occurred() != nullptr) {
            die("a value came with an exception");
        }
        static_cast<void>(crossing::encode(here(), value.get()));
    } catch (const py::python_error&) {
        if (PyErr_Occurred() == nullptr) {
            die("python_error without an exception");
        }
        PyErr_Clear();
    }
    if (PyErr_Occurred() != nullptr) {
        die("an exception was left by what died");
    }
}

void round_trip(const std::uint8_t* input, std::size_t size) {
    try {
        const auto length = static_cast<Py_ssize_t>(size);
        const ref recipe = require(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(input), length));
        const ref sent = require(PyObject_CallOneArg(hooks.build, recipe.get()));
        const ref received = crossing::decode(here(), crossing::encode(here(), sent.get()));
        const ref same =
            require(PyObject_CallFunctionObjArgs(hooks.same, sent.get(), received.get(), nullptr));
        if (same.get() != Py_True) {
            die("what arrived is not what was sent");
        }
    } catch (const py::python_error&) {
        die("what a recipe makes must cross");
    }
}

int one(const std::uint8_t* input, std::size_t size) {
    constexpr unsigned often = 4096;
    static unsigned runs = 0;
    if (size == 0) {
        return -1;
    }
    if (hooks.build == Py_None) {
        decode(input, size);
    } else {
        round_trip(input, size);
    }
    if (++runs % often == 0) {
        const ref checked = ref::steal(PyObject_CallNoArgs(hooks.checkpoint));
        if (!checked) {
            die("something was left behind by the last 4096 runs");
        }
    }
    return 0;
}

/// What a decoder has to say about a tag: the value before it, and operands that are often right.
std::size_t token(std::array<std::uint8_t, 4>& into, unsigned random) {
    constexpr unsigned tags = static_cast<unsigned>(crossing::tag::stop) + 1;
    constexpr unsigned few = 5;
    const unsigned tag = random % tags;
    const unsigned operand = random / tags % few;
    const bool remember = random / tags / few % 2 != 0;
    into = {static_cast<std::uint8_t>(tag | (remember ? crossing::remembered : 0U)),
            static_cast<std::uint8_t>(operand), static_cast<std::uint8_t>(random >> 24U), 0};
    return 1 + random / tags / few / 2 % 3;
}

} // namespace
} // namespace isthmus::fuzzing

using namespace isthmus;

/// Half of the time puts a tag with operands somewhere; else as libFuzzer does, which knows no tags.
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t room, unsigned seed) {
    std::array<std::uint8_t, 4> made{};
    unsigned random = seed * 2654435761U;
    const std::size_t length = fuzzing::token(made, random >> 3U);
    if (fuzzing::hooks.build != Py_None || (random & 1U) != 0 || size < 2 || size + length > room) {
        return LLVMFuzzerMutate(data, size, room);
    }
    const std::size_t at = 1 + (seed ^ (random >> 7U)) % (size - 1);
    if ((random & 2U) != 0) {
        std::memmove(data + at + length, data + at, size - at);
        size += length;
    }
    std::memcpy(data + at, made.data(), std::min(length, size - at));
    return size;
}

extern "C" {

/// A new `bytes`: the data of the parcel that carries `o`. Null with an exception.
[[gnu::visibility("default")]] PyObject* isthmus_fuzz_encoded(PyObject* o) {
    return py::guarded<PyObject*>(nullptr, [&] {
        // In a list, so that there is a parcel whatever it is: its tag and count are left out.
        const py::ref list = py::require(Py_BuildValue("[O]", o));
        const core::message made = crossing::encode(fuzzing::here(), list.get());
        const core::byte_buffer& data = made.body()->data;
        return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(data.data()) + 2,
                                         static_cast<Py_ssize_t>(data.size() - 2));
    });
}

/// The value of an input of the decoder's fuzzer. Null with an exception.
[[gnu::visibility("default")]] PyObject* isthmus_fuzz_decoded(PyObject* input, PyObject* props) {
    return py::guarded<PyObject*>(nullptr, [&] {
        fuzzing::hooks.props = props;
        const auto* const data = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(input));
        core::parcel body = fuzzing::parcel_of(data, static_cast<std::size_t>(PyBytes_GET_SIZE(input)));
        return crossing::reader(fuzzing::here(), body).read().release();
    });
}

/// Runs libFuzzer with `arguments` (list of str). Does not return if it finds anything, nor at its end.
[[gnu::visibility("default")]] int isthmus_fuzz(PyObject* arguments, PyObject* props, PyObject* build,
                                                PyObject* same, PyObject* checkpoint) {
    fuzzing::hooks = {props, build, same, checkpoint};
    std::vector<std::string> texts;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(arguments); ++i) {
        texts.emplace_back(PyUnicode_AsUTF8(PyList_GET_ITEM(arguments, i)));
    }
    std::vector<char*> pointers;
    for (std::string& text : texts) {
        pointers.push_back(text.data());
    }
    int argc = static_cast<int>(pointers.size());
    pointers.push_back(nullptr);
    char** argv = pointers.data();
    return LLVMFuzzerRunDriver(&argc, &argv, fuzzing::one);
}
}

#include "cpython/streams.hpp"

#include "cpython/current.hpp"
#include "cpython/kept_names.hpp"
#include "cpython/refs.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace isthmus::py {
namespace {

/// The memory of an object, but for its reference count, as it was.
class image {
  public:
    /// False: there is no room for so large a one.
    bool take(PyObject* o) noexcept {
        const std::span<const std::byte> now = memory_of(o);
        size_ = now.size() <= bytes_.size() ? now.size() : 0;
        std::memcpy(bytes_.data(), now.data(), size_);
        return size_ != 0;
    }
    [[nodiscard]] bool shows(PyObject* o) const noexcept {
        const std::span<const std::byte> now = memory_of(o);
        return now.size() == size_ && std::memcmp(bytes_.data(), now.data(), size_) == 0;
    }

  private:
    static std::span<const std::byte> memory_of(PyObject* o) noexcept {
        constexpr std::size_t before = offsetof(PyObject, ob_type);
        return {reinterpret_cast<const std::byte*>(o) + before,
                static_cast<std::size_t>(Py_TYPE(o)->tp_basicsize) - before};
    }
    std::size_t size_ = 0;
    std::array<std::byte, 320> bytes_{};
};

/// A text stream right after it was flushed. What it and the buffer under it have yet to write, their own
/// memory tells: as long as that is the same there is nothing. Only of CPython's own types, exactly these.
struct flushed_stream {
    std::uint64_t of = 0; ///< identity of the interpreter
    PyObject* under = nullptr;
    image text;
    image buffer;

    [[nodiscard]] bool still(const core::interpreter& here, PyObject* stream) const noexcept {
        return of == here.identity && text.shows(stream) && buffer.shows(under);
    }
    void note(const core::interpreter& here, PyObject* stream) {
        of = 0;
        const ref module = require(PyImport_ImportModule("_io"));
        if (!is_exactly(stream, module.get(), "TextIOWrapper")) {
            return;
        }
        const ref found = require(PyObject_GetAttrString(stream, "buffer"));
        if ((is_exactly(found.get(), module.get(), "BufferedWriter") ||
             is_exactly(found.get(), module.get(), "FileIO")) &&
            text.take(stream) && buffer.take(found.get())) {
            under = found.get(); // the text stream keeps it, as long as it looks like that
            of = here.identity;
        }
    }

  private:
    static bool is_exactly(PyObject* o, PyObject* module, const char* type) {
        const ref wanted = require(PyObject_GetAttrString(module, type));
        return static_cast<PyObject*>(static_cast<void*>(Py_TYPE(o))) == wanted.get();
    }
};

/// One look, on streams that write to nowhere: whether images change by a write, as they must. Throws
/// python_error: they could not be had.
bool images_show_writes() {
    const ref io = require(PyImport_ImportModule("io"));
    const ref stream = require(PyObject_CallMethod(io.get(), "open", "ss", "/dev/null", "w"));
    const ref under = require(PyObject_GetAttrString(stream.get(), "buffer"));
    image text;
    image buffer;
    const auto write_shows = [](image& of, PyObject* to, const char* format) {
        const bool taken = of.take(to);
        static_cast<void>(require(PyObject_CallMethod(to, "write", format, "x")));
        const bool shows = taken && !of.shows(to);
        static_cast<void>(require(PyObject_CallMethod(to, "flush", nullptr)));
        return shows;
    };
    const bool all = write_shows(text, stream.get(), "s") && write_shows(buffer, under.get(), "y");
    static_cast<void>(require(PyObject_CallMethod(stream.get(), "close", nullptr)));
    return all;
}

/// Looks once per process. While that can't be done, and if they don't: false, everything is flushed.
bool images_can_be_trusted() {
    enum verdict : std::uint8_t { open, trusted, refused };
    static constinit std::atomic<verdict> found{open};
    if (found.load(std::memory_order_relaxed) == open) {
        found.store(images_show_writes() ? trusted : refused, std::memory_order_relaxed);
    }
    return found.load(std::memory_order_relaxed) == trusted;
}

struct flushed_streams {
    flushed_stream out;
    flushed_stream error;
};
/// Most calls of a thread are in one interpreter, and write nothing.
thread_local constinit flushed_streams last_flushed{};

/// Without it the next flush does more than it must.
void remember(const core::interpreter& here, PyObject* stream, flushed_stream& last) {
    if (std::strcmp(Py_TYPE(stream)->tp_name, "_io.TextIOWrapper") == 0) {
        try {
            if (images_can_be_trusted()) {
                last.note(here, stream);
            }
        } catch (const python_error&) {
            PyErr_Clear();
        }
    }
}

/// Nothing is lost with one that is closed. What has no such attribute is open.
bool is_closed(PyObject* stream) {
    PyObject* found = nullptr;
    const int status = PyObject_GetOptionalAttrString(stream, "closed", &found);
    const ref closed = ref::steal(found);
    return status == 1 && PyObject_IsTrue(closed.get()) == 1;
}

void flush(core::interpreter* here, known_name name, flushed_stream& last, bool report) {
    const ref stream =
        here != nullptr
            ? standard_stream(*here, name)
            : ref::share(PySys_GetObject(name == known_name::standard_output ? "stdout" : "stderr"));
    if (!stream || stream.get() == Py_None) {
        return;
    }
    if (here != nullptr && last.still(*here, stream.get())) {
        return;
    }
    if (const ref flushed = ref::steal(PyObject_CallMethod(stream.get(), "flush", nullptr)); flushed) {
        if (here != nullptr) {
            remember(*here, stream.get(), last);
        }
        return;
    }
    PyObject* const failure = PyErr_GetRaisedException();
    const bool closed = is_closed(stream.get());
    PyErr_SetRaisedException(failure); // whatever its attribute raised
    if (report && !closed) {
        PyErr_WriteUnraisable(stream.get());
    } else {
        PyErr_Clear(); // closed; or stderr, and there is nowhere else to say it
    }
}

} // namespace

void flush_streams() {
    core::interpreter* const here = current_interpreter();
    flush(here, known_name::standard_output, last_flushed.out, true);
    flush(here, known_name::standard_error, last_flushed.error, false);
}

} // namespace isthmus::py

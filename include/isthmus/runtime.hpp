/// The one runtime of the process: CPython, and isthmus in it.
///
/// A host starts it, or joins what is there: a CPython that the host initialised itself, or a Python program that
/// loaded the host as an extension. The Python module and the host share it, whichever comes first.
#pragma once

#include <isthmus/error.hpp>

#include <string>
#include <vector>

namespace isthmus {

/// How CPython is started; of no account if it runs already. Defaults are those of `Py_InitializeFromConfig`
/// with the Python configuration (PEP 587).
struct runtime_options {
    /// The interpreter whose libraries are used: a virtual environment's `bin/python`, or empty: what CPython
    /// finds by itself.
    std::string program = {};
    /// `sys.argv`; empty: [""].
    std::vector<std::string> arguments = {};
    /// Put in front of `sys.path`.
    std::vector<std::string> path = {};
    /// Ignore the environment (PYTHON*) and the user's site directory.
    bool isolated = false;
    /// Whether CPython handles signals, Ctrl-C first; else they are the host's.
    bool signal_handlers = false;
};

/// While one lives, CPython runs. Move-only; all of them are one runtime, and the last one stops what was started.
class [[gnu::visibility("default")]] runtime {
  public:
    /// Starts CPython unless it runs, and isthmus in it; the calling thread holds no GIL afterwards (if it did
    /// before, it holds it again). May be called again after stop(), and by several threads, one of which starts.
    /// Throws interpreter_error: CPython could not be initialised, the package isthmus is not found or of another
    /// version.
    [[nodiscard]] static runtime start(const runtime_options& options = {});

    runtime(runtime&& other) noexcept;
    runtime& operator=(runtime&& other) noexcept;
    /// stop(); what that throws is written to stderr.
    ~runtime();

    /// Gives this object's part up. The last one closes all interpreters that isthmus made (what runs in them is
    /// interrupted; after five seconds the process is left with status 1, as Python's own exit does) and, if
    /// start() initialised CPython, finalises it, on the calling thread, which holds no GIL and is in no
    /// `entered` scope. Threads inside `entered` scopes are waited for. Idempotent.
    void stop();

    /// Whether there is one. Any thread.
    [[nodiscard]] static bool running() noexcept;

  private:
    runtime() noexcept = default;
    bool counted_ = false;
};

/// "3.13.0": of the CPython that the library was built for and runs with.
[[nodiscard, gnu::visibility("default")]] std::string python_version();

} // namespace isthmus

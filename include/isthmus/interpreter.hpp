/// Isolated interpreters, from C++.
///
/// | call                    | thread and GIL                                                    |
/// |-------------------------|-------------------------------------------------------------------|
/// | create, run, call, eval | any thread, holding no GIL but perhaps that of an `entered` scope |
/// | post, interrupt, close  | any thread; as above                                              |
/// | function::operator()    | inside an `entered` scope of its interpreter, on that thread      |
///
/// While code runs in an interpreter, the thread holds its GIL; afterwards what it held before.
///
/// An interpreter runs one `run`, `call` or `eval` at a time, as in PEP 734: another one meanwhile throws
/// interpreter_error, unless it comes from a thread that is `entered` there. Posted calls wait instead.
/// Arguments and results cross as described in value.hpp; nothing has run if an argument can't.
#pragma once

#include <isthmus/bytes.hpp>
#include <isthmus/closed_event.hpp>
#include <isthmus/function.hpp>
#include <isthmus/pending_call.hpp>
#include <isthmus/python_error.hpp>
#include <isthmus/value.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isthmus {

namespace detail {
struct interpreter_state;
} // namespace detail

struct interpreter_options {
    enum class gil : std::uint8_t {
        own,   ///< runs beside all others
        shared ///< takes turns with the main interpreter; for extensions that refuse isolation
    };
    enum class extensions : std::uint8_t {
        isolated, ///< only modules that say that they may be loaded several times (PEP 489, 684)
        any       ///< all of them; needs the main interpreter's memory, and so the shared GIL
    };

    std::optional<std::string> name = {}; ///< for people
    gil lock = gil::own;
    /// Own memory (pymalloc state) needs the own GIL, and the main interpreter's the shared one; nullopt:
    /// what goes with `lock`.
    std::optional<bool> own_memory = {};
    std::optional<extensions> imports = {}; ///< nullopt: isolated with its own GIL, any with the shared one
    /// Its whole `sys.path`; nullopt: a copy of the main interpreter's at its start.
    std::optional<std::vector<std::string>> path = {};
    std::vector<std::string> path_prefix = {}; ///< put in front of it
    bool daemon_threads = false;               ///< only with the shared GIL
    bool processes = false;                    ///< os.fork, os.exec: only with the shared GIL
};

/// What `interrupt` raises.
enum class interruption : std::uint8_t { keyboard_interrupt, system_exit, runtime_error, timeout_error };

/// One interpreter. Movable; its destructor closes it, or, while something runs in it, leaves that to the end
/// of the runtime. Objects may be used from several threads at once, but not moved meanwhile.
class [[gnu::visibility("default")]] interpreter {
  public:
    /// Throws interpreter_error: no runtime, CPython refuses; std::invalid_argument: options that exclude
    /// each other; std::bad_alloc.
    explicit interpreter(const interpreter_options& options = {});
    interpreter(interpreter &&) noexcept;
    interpreter& operator=(interpreter&&) noexcept;
    ~interpreter();

    /// The main interpreter: can be entered, called and posted to, not closed.
    [[nodiscard]] static interpreter main();

    /// CPython's id, as Python code sees it.
    [[nodiscard]] std::int64_t id() const;
    [[nodiscard]] std::optional<std::string> name() const;
    [[nodiscard]] bool is_running() const;
    [[nodiscard]] bool is_closed() const noexcept;
    /// Its end, as something that can be waited for, selected on, and sent.
    [[nodiscard]] closed_event closed() const;

    /// Runs source text in `__main__`. `filename` is for tracebacks. Throws python_error, interpreter_error.
    void run(std::string_view source, std::string_view filename = "<string>");
    /// Runs a file, as `__main__` with its `__file__`. Throws std::system_error if it can't be read.
    void run_file(const std::filesystem::path& path);
    /// What the expression gives, with the names of `__main__`.
    [[nodiscard]] value eval(std::string_view expression);
    /// Sets a name in `__main__`.
    void set(std::string_view name, const value& to);

    /// Calls a function and returns what it returns. `name`: "f" is that of `__main__`; "package.module.f" is
    /// imported; "package.module:C.f" says where the module ends. Throws python_error: what it raised;
    /// not_shareable_error: an argument, or the result, can't cross; interpreter_error.
    template <typename... T> value call(std::string_view name, const T&... arguments) {
        return call_with(name, args(arguments...));
    }
    /// The result as an R.
    template <typename R, typename... T> R call_as(std::string_view name, const T&... arguments) {
        return call(name, arguments...).template as<R>();
    }
    value call_with(std::string_view name, const std::vector<value>& arguments,
                    const std::vector<std::pair<std::string, value>>& keywords = {});

    /// Asks it to call a function at its next safe point, and does not wait: between two bytecodes of what
    /// runs there, at once if it is idle or waits (api: Interpreter.post). None is lost; those of one thread
    /// keep their order. Throws interpreter_error: it is closed, or no thread can be made for it;
    /// not_shareable_error: an argument.
    template <typename... T> pending_call post(std::string_view name, const T&... arguments) {
        return post_with(name, args(arguments...));
    }
    pending_call post_with(std::string_view name, const std::vector<value>& arguments,
                           const std::vector<std::pair<std::string, value>>& keywords = {});

    /// A function kept in the interpreter, for many calls from inside it. Throws as `call`.
    [[nodiscard]] isthmus::function function(std::string_view name);

    /// Raises an exception in what runs there, at its next bytecode, or in its wait if it waits in isthmus;
    /// returns at once. False: nothing runs. Code in C, time.sleep among it, finishes first.
    bool interrupt(interruption what = interruption::keyboard_interrupt);

    /// Ends it. A posted call that runs is waited for, those that wait fail. What it sent stays valid. Throws
    /// interpreter_error if it is running, or the main one. Idempotent.
    void close();

  private:
    friend class entered;
    explicit interpreter(std::shared_ptr<detail::interpreter_state> state) noexcept;
    std::shared_ptr<detail::interpreter_state> state_;
};

/// The calling thread runs in an interpreter, and holds its GIL, to the end of the scope: for the C API, or
/// for many calls in a row. Nestable, also of different interpreters; scopes of a thread end in reverse
/// order. The interpreter can't be closed meanwhile.
class [[gnu::visibility("default")]] entered {
  public:
    /// Throws interpreter_error: it is closed or closing; std::bad_alloc.
    explicit entered(interpreter & in);
    entered(const entered&) = delete;
    entered& operator=(const entered&) = delete;
    ~entered();

  private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace isthmus

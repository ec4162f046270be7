/// Interpreters of a host's: made, run, closed.
#include "host/answers.hpp"
#include "host/calls.hpp"
#include "host/inside.hpp"
#include "host/interpreter_state.hpp"

#include "cxx/codec.hpp"
#include "cxx/ends.hpp"
#include "cxx/payload.hpp"
#include "module/interpreters.hpp"
#include "module/making.hpp"
#include "module/run.hpp"

#include "cpython/interruption.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

namespace isthmus {
namespace {

using detail::interpreter_state;

interpreter_state& state_of(const std::shared_ptr<interpreter_state>& state) {
    return state != nullptr ? *state : throw interpreter_error("this isthmus::interpreter was moved from");
}

PyInterpreterConfig config_of(const interpreter_options& options) {
    using gil = interpreter_options::gil;
    using extensions = interpreter_options::extensions;
    const bool shared = options.lock == gil::shared;
    PyInterpreterConfig config = shared ? module::legacy : module::isolated;
    if (options.own_memory.value_or(!shared) == shared) {
        throw std::invalid_argument("an interpreter has memory of its own if and only if it has its own GIL");
    }
    const bool any =
        options.imports.value_or(shared ? extensions::any : extensions::isolated) == extensions::any;
    if (any && !shared) {
        throw std::invalid_argument("extensions that refuse isolation need the shared GIL");
    }
    if (!shared && (options.daemon_threads || options.processes)) {
        throw std::invalid_argument("daemon threads, fork and exec need the shared GIL");
    }
    config.check_multi_interp_extensions = any ? 0 : 1;
    config.allow_daemon_threads = options.daemon_threads ? 1 : 0;
    config.allow_fork = config.allow_exec = options.processes ? 1 : 0;
    return config;
}

/// Of the main interpreter, strings only: other entries are for its own import hooks. There, under its GIL.
value::list path_here() {
    value::list path;
    PyObject* const entries = PySys_GetObject("path");
    for (Py_ssize_t i = 0; entries != nullptr && PyList_Check(entries) && i < PyList_GET_SIZE(entries); ++i) {
        PyObject* const entry = PyList_GET_ITEM(entries, i);
        if (!PyUnicode_CheckExact(entry)) {
            continue;
        }
        Py_ssize_t size = 0;
        const char* const utf8 = PyUnicode_AsUTF8AndSize(entry, &size);
        if (utf8 == nullptr) {
            throw py::python_error{};
        }
        path.emplace_back(std::string_view(utf8, static_cast<std::size_t>(size)));
    }
    return path;
}

/// What a new one needs of the main interpreter, whose GIL is taken only if it needs anything.
value::list path_of(const interpreter_options& options) {
    value::list path(options.path_prefix.begin(), options.path_prefix.end());
    value::list rest;
    const core::interpreter_ref main = host::main_record();
    if (!options.path || py::compat::datetime_wants_main_first) {
        const host::inside scope(main);
        host::translating(*main, [&] {
            module::prepare_main_interpreter();
            rest = path_here();
        });
    }
    if (options.path) {
        rest.assign(options.path->begin(), options.path->end());
    }
    path.insert(path.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
    return path;
}

std::shared_ptr<interpreter_state> make_state(const interpreter_options& options) {
    const PyInterpreterConfig config = config_of(options);
    module::made_interpreter made =
        module::make_interpreter(config, detail::encode(value::of(path_of(options))), options.name);
    if (made.record == nullptr) {
        if (made.why.empty()) {
            throw std::bad_alloc{};
        }
        throw interpreter_error(made.why);
    }
    std::unique_ptr<core::attachment> held = module::adopt_handle(made.record);
    return std::make_shared<interpreter_state>(std::move(made.record), std::move(held));
}

value do_there(interpreter_state& state, module::job work) {
    module::answer given;
    {
        const host::inside scope(state.record);
        given = module::carry_out_for_host(*state.record, work, scope.was_there());
    }
    return host::open_answer(*state.record, std::move(given));
}

std::string checked_source(std::string_view source) {
    if (source.find('\0') != std::string_view::npos) {
        throw std::invalid_argument("source text must not contain null characters");
    }
    return std::string(source);
}

PyObject* class_of(interruption what) {
    switch (what) {
    case interruption::system_exit:
        return PyExc_SystemExit;
    case interruption::runtime_error:
        return PyExc_RuntimeError;
    case interruption::timeout_error:
        return PyExc_TimeoutError;
    case interruption::keyboard_interrupt:
        break;
    }
    return PyExc_KeyboardInterrupt;
}

} // namespace

detail::interpreter_state::~interpreter_state() {
    if (handle == nullptr) {
        return;
    }
    try {
        // Closing needs a thread that is attached somewhere else.
        const host::inside scope(host::main_record());
        handle.reset();
    } catch (const error&) {          // the runtime ends, or has ended, and closes it, or has
    } catch (const std::bad_alloc&) { // likewise, later
    }
}

interpreter::interpreter(const interpreter_options& options) : state_(make_state(options)) {}
interpreter::interpreter(std::shared_ptr<detail::interpreter_state> state) noexcept
    : state_(std::move(state)) {}
interpreter::interpreter(interpreter&&) noexcept = default;
interpreter& interpreter::operator=(interpreter&&) noexcept = default;
interpreter::~interpreter() = default;

interpreter interpreter::main() {
    return interpreter(std::make_shared<interpreter_state>(host::main_record(), nullptr));
}

std::int64_t interpreter::id() const {
    return state_of(state_).record->number;
}

std::optional<std::string> interpreter::name() const {
    return state_of(state_).record->name;
}

bool interpreter::is_running() const {
    const core::interpreter& record = *state_of(state_).record;
    return record.open() && record.runs.load() != 0;
}

bool interpreter::is_closed() const noexcept {
    return state_ == nullptr || state_->record->now.load() == core::interpreter::phase::gone;
}

closed_event interpreter::closed() const {
    return detail::access::with_end<closed_event>(
        std::make_shared<const detail::notice_end>(state_of(state_).record->death));
}

void interpreter::run(std::string_view source, std::string_view filename) {
    module::job work;
    work.source = checked_source(source);
    work.filename = filename;
    static_cast<void>(do_there(state_of(state_), std::move(work)));
}

void interpreter::run_file(const std::filesystem::path& path) {
    errno = 0; // streams don't say why they fail; the calls below them do
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf() || file.peek() == std::ifstream::traits_type::eof()) || file.bad()) {
        throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), path.string());
    }
    module::job work;
    work.source = checked_source(text.view());
    work.is = module::job::text::file;
    work.filename = path.string();
    work.names.push_back({"__file__", detail::encode(value(path.string()))});
    static_cast<void>(do_there(state_of(state_), std::move(work)));
}

value interpreter::eval(std::string_view expression) {
    module::job work;
    work.source = checked_source(expression);
    work.is = module::job::text::expression;
    return do_there(state_of(state_), std::move(work));
}

void interpreter::set(std::string_view name, const value& to) {
    module::job work;
    work.names.push_back({std::string(name), detail::encode(to)});
    static_cast<void>(do_there(state_of(state_), std::move(work)));
}

value interpreter::call_with(std::string_view name, const std::vector<value>& arguments,
                             const std::vector<std::pair<std::string, value>>& keywords) {
    return do_there(state_of(state_), host::calling(name, arguments, keywords));
}

bool interpreter::interrupt(interruption what) {
    const core::interpreter_ref record = state_of(state_).record;
    try {
        switch (py::interrupt_run(record, class_of(what))) {
        case py::interrupted::asked:
            return true;
        case py::interrupted::no_run:
            return false;
        case py::interrupted::no_thread:
            break;
        }
    } catch (const py::python_error&) { // the thread interrupts itself
        throw host::taken_error(*record);
    }
    throw interpreter_error("can't start a thread that interrupts the run");
}

void interpreter::close() {
    const core::interpreter_ref record = state_of(state_).record;
    if (record->now.load() == core::interpreter::phase::gone) {
        return;
    }
    const std::string name = "interpreter " + std::to_string(record->number);
    const core::interpreter_ref main = host::main_record();
    const host::inside scope(main);
    const py::close_result result = host::translating(*main, [&] { return py::close_interpreter(record); });
    switch (result) {
    case py::close_result::closed:
    case py::close_result::already:
        return;
    case py::close_result::main:
        throw interpreter_error("the main interpreter can't be closed");
    case py::close_result::current:
    case py::close_result::running:
        throw interpreter_error(name + " is running");
    case py::close_result::threads:
        throw interpreter_error(name + " has daemon threads, which must end before it is closed");
    case py::close_result::closer_closing:
        throw interpreter_error("the runtime ends");
    }
}

} // namespace isthmus

#include "handlers.hpp"

#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>
#include <system_error>

namespace httpd {
namespace {

/// Runs in each interpreter before its first call. The text of the handler comes from the host, so that all
/// interpreters of one reload have the same one, whatever is written to the file meanwhile.
constexpr std::string_view setup = R"python(
import isthmus, linecache, sys, types

def _load(source, path):
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    module = sys.modules["handler"] = types.ModuleType("handler")
    module.__file__ = path
    exec(compile(source, path, "exec"), module.__dict__)
    if not callable(getattr(module, "handle", None)):
        raise TypeError(f"{path} defines no function handle(method, target, headers, body)")
    return module.handle

_handle = _load(*isthmus.host.handler_source())

def _serve(method, target, headers, body):
    answer = _handle(method, target, headers, body)
    if isinstance(answer, bytes):
        answer = 200, [], answer
    if not isinstance(answer, tuple) or len(answer) != 3 or not isinstance(answer[2], bytes):
        raise TypeError(f"handle must return bytes or (status, headers, bytes), not {answer!r:.80}")
    status, headers, body = answer
    return int(status), [(str(name), str(text)) for name, text in headers], body
)python";

std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || (file.peek() != std::ifstream::traits_type::eof() && !(text << file.rdbuf()))) {
        throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), path.string());
    }
    return std::move(text).str();
}

/// What `isthmus.host.handler_source()` gives from now on.
void publish_source(const std::filesystem::path& path) {
    isthmus::define_host_function(
        "handler_source", [source = read(path), name = path.string()] { return std::pair(source, name); });
}

isthmus::interpreter_options interpreters(const handler_options& options) {
    publish_source(options.file);
    isthmus::interpreter_options made;
    made.name = "handler";
    made.lock = options.shared_gil ? isthmus::interpreter_options::gil::shared
                                   : isthmus::interpreter_options::gil::own;
    made.path_prefix = {std::filesystem::absolute(options.file).parent_path().string()};
    return made;
}

reply reply_of(const isthmus::value& answer) {
    auto [status, fields, body] = answer.as<std::tuple<unsigned, headers, isthmus::bytes>>();
    return {status, std::move(fields), std::move(body)};
}

} // namespace

handlers::handlers(handler_options options)
    : options_(std::move(options)), pool_(options_.workers, setup, interpreters(options_)) {}

void handlers::submit(request asked, std::function<void(std::exception_ptr, reply)> done) {
    pool_.submit_then(
        "_serve", isthmus::args(asked.method, asked.target, asked.headers, asked.body),
        [done = std::move(done)](std::future<isthmus::value> outcome) {
            reply made;
            std::exception_ptr why;
            try {
                made = reply_of(outcome.get());
            } catch (const std::exception&) {
                why = std::current_exception();
            }
            done(why, std::move(made));
        },
        options_.limit);
}

void handlers::reload() {
    const std::lock_guard guard(one_at_a_time_);
    publish_source(options_.file);
    pool_.reload(setup);
}

} // namespace httpd

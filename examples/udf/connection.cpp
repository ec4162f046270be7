#include "connection.hpp"
#include "blobs.hpp"

#include <stdexcept>
#include <utility>

namespace udf {
namespace {

void require(int code, sqlite3* in) {
    if (code != SQLITE_OK) {
        throw std::runtime_error(sqlite3_errmsg(in));
    }
}

std::shared_ptr<isthmus::interpreter> interpreter_of(const std::filesystem::path& script) {
    auto made =
        std::make_shared<isthmus::interpreter>(isthmus::interpreter_options{.name = script.stem().string()});
    made->run_file(script);
    return made;
}

} // namespace

connection::connection(const std::string& database, const std::filesystem::path& script)
    : python_(interpreter_of(script)), database_(nullptr, sqlite3_close_v2) {
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(
        database.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(opened);
    require(code, opened);
    define_functions(opened, python_);
}

void connection::reload(const std::filesystem::path& script) {
    auto fresh = interpreter_of(script);
    define_functions(database_.get(), fresh);
    python_ = std::move(fresh);
}

void connection::query(const std::string& sql, const std::function<void(sqlite3_stmt*)>& row,
                       std::span<const isthmus::bytes> parameters) {
    sqlite3* const in = database_.get();
    sqlite3_stmt* prepared = nullptr;
    require(sqlite3_prepare_v2(in, sql.c_str(), static_cast<int>(sql.size() + 1), &prepared, nullptr), in);
    const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement(prepared, sqlite3_finalize);
    for (int i = 0; i < static_cast<int>(parameters.size()); ++i) {
        require(bind_blob(prepared, i + 1, parameters[static_cast<std::size_t>(i)]), in);
    }
    const isthmus::entered scope(*python_); // once, instead of once for each call of a function
    int code = sqlite3_step(prepared);
    for (; code == SQLITE_ROW; code = sqlite3_step(prepared)) {
        if (row) {
            row(prepared);
        }
    }
    require(code == SQLITE_DONE ? SQLITE_OK : code, in);
}

} // namespace udf

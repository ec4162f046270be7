/// A connection to a database, and the interpreter that its functions run in.
#pragma once

#include <isthmus/bytes.hpp>
#include <isthmus/interpreter.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include <sqlite3.h>

namespace udf {

/// Of one thread at a time. Each has an interpreter with its own GIL, so that queries of two threads run on
/// two cores. What goes wrong is thrown: std::runtime_error with SQLite's message, which for a Python
/// function that raised is "Type: message"; isthmus::python_error for the script.
class connection {
  public:
    connection(const std::string& database, const std::filesystem::path& script);

    /// Reads the script again, into a new interpreter, for the statements after this one. Throws as the
    /// constructor; the old functions go on then. So do those that the script no longer lists, each in its
    /// own interpreter, until the connection ends. Not while a statement runs: std::runtime_error.
    void reload(const std::filesystem::path& script);

    /// Runs one statement. `parameters` are ?1, ?2, ...: SQLite is lent them, and copies nothing.
    void query(const std::string& sql, const std::function<void(sqlite3_stmt*)>& row = {},
               std::span<const isthmus::bytes> parameters = {});

    [[nodiscard]] isthmus::interpreter& python() noexcept { return *python_; }

  private:
    using database_ptr = std::unique_ptr<sqlite3, decltype(&sqlite3_close_v2)>;
    std::shared_ptr<isthmus::interpreter> python_; ///< also held by each function that runs in it
    database_ptr database_;
};

/// Makes what the script lists callable from SQL, and `blob(table, column, rowid)`. Throws as connection's
/// constructor.
void define_functions(sqlite3* in, const std::shared_ptr<isthmus::interpreter>& python);

} // namespace udf

/// udf_lives PYTHON FIRST.py SECOND.py BAD.py: SQL functions whose interpreter was replaced, closed, or is
/// gone, each line of output one answer.
#include "connection.hpp"

#include <isthmus/python.hpp>

#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

constexpr const char* numbers = " FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3)";

/// The last row's first column, or what went wrong. `between` is run after the first row.
void ask(udf::connection& in, const std::string& sql, const std::function<void()>& between = {}) {
    std::string told = "no row";
    bool first = true;
    try {
        in.query(sql, [&](sqlite3_stmt* row) {
            const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(row, 0));
            told = text != nullptr ? text : "NULL";
            if (std::exchange(first, false) && between) {
                between();
            }
        });
    } catch (const std::exception& error) {
        told = std::string("error: ") + error.what();
    }
    std::puts(told.c_str());
}

void attempt(const std::function<void()>& work) {
    try {
        work();
        std::puts("done");
    } catch (const isthmus::python_error& error) {
        std::puts(error.type().c_str());
    } catch (const std::exception& error) {
        std::puts(error.what());
    }
}

} // namespace

int main(int, char** argv) {
    isthmus::runtime runtime = isthmus::runtime::start({.program = argv[1]});
    auto db = std::make_unique<udf::connection>(":memory:", argv[2]);
    const std::string total = std::string("SELECT total(n)") + numbers;
    ask(*db, "SELECT version()");
    ask(*db, total);
    // Replaced; what only the first script has goes on in the first interpreter.
    attempt([&] { db->reload(argv[3]); });
    ask(*db, "SELECT version()");
    ask(*db, "SELECT of_the_first()");
    attempt([&] { db->reload(argv[4]); });
    ask(*db, "SELECT version()");
    ask(*db, std::string("SELECT version()") + numbers, [&] { attempt([&] { db->reload(argv[2]); }); });
    // Closed; and as good as new after a reload.
    db->python().close();
    ask(*db, "SELECT version()");
    ask(*db, total);
    attempt([&] { db->reload(argv[3]); });
    ask(*db, total);
    // Another one in its place.
    db->python() = isthmus::interpreter();
    ask(*db, "SELECT version()");
    ask(*db, total);
    attempt([&] { db->reload(argv[3]); });
    // Not while a statement runs in it.
    ask(*db, total + " GROUP BY n", [&] { attempt([&] { db->python().close(); }); });
    runtime.stop();
    ask(*db, "SELECT version()");
    db.reset();
    std::puts("end");
}

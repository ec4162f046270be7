/// udf [--python PYTHON] [--stats] [--reload] DATABASE SCRIPT.py "SQL"...   prints the rows; --reload: reads
/// the script again between statements udf [--python PYTHON] --bench DATABASE SCRIPT.py FUNCTION HOW THREADS
/// prints seconds and the sum (bench.hpp)
#include "bench.hpp"
#include "blobs.hpp"
#include "connection.hpp"

#include <isthmus/python.hpp>

#include <cstdio>
#include <vector>

namespace {

void print_row(sqlite3_stmt* row) {
    for (int i = 0; i < sqlite3_column_count(row); ++i) {
        const char* const between = i == 0 ? "" : "|";
        if (sqlite3_column_type(row, i) == SQLITE_BLOB) {
            std::printf("%s<%d bytes>", between, sqlite3_column_bytes(row, i));
        } else {
            const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(row, i));
            std::printf("%s%s", between, text != nullptr ? text : "NULL");
        }
    }
    std::printf("\n");
}

int run(const std::string& python, bool stats, bool reload, bool benched,
        const std::vector<std::string>& given) {
    const isthmus::runtime runtime = isthmus::runtime::start({.program = python});
    if (benched) {
        const udf::measured told = udf::bench(given[0], given[1], given[2], given[3], std::stoi(given[4]));
        std::printf("%.6f %lld\n", told.seconds, told.sum);
    } else {
        udf::connection connection(given[0], given[1]);
        for (std::size_t i = 2; i < given.size(); ++i) {
            if (reload && i > 2) {
                connection.reload(given[1]);
            }
            connection.query(given[i], print_row);
        }
    }
    if (stats) {
        const isthmus::value copied =
            isthmus::interpreter::main().eval("__import__('isthmus').stats().payload_bytes_copied");
        std::printf("%lld payload bytes copied by isthmus, %llu out of SQLite's memory\n",
                    copied.as<long long>(), static_cast<unsigned long long>(udf::copied_from_sqlite()));
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    std::vector<std::string> given;
    std::string python;
    bool stats = false;
    bool reload = false;
    bool benched = false;
    for (int i = 1; i < argc; ++i) {
        const std::string each = argv[i];
        if (each == "--python" && i + 1 < argc) {
            python = argv[++i];
        } else if (each == "--stats") {
            stats = true;
        } else if (each == "--reload") {
            reload = true;
        } else if (each == "--bench") {
            benched = true;
        } else {
            given.push_back(each);
        }
    }
    if (benched ? given.size() != 5 : given.size() < 3) {
        std::fprintf(stderr, "usage: udf [--python PYTHON] [--stats] [--reload] DATABASE SCRIPT.py SQL...\n"
                             "       udf [--python PYTHON] [--stats] --bench DATABASE SCRIPT.py FUNCTION "
                             "bound|read|column THREADS\n");
        return 2;
    }
    try {
        return run(python, stats, reload, benched, given);
    } catch (const isthmus::python_error& error) {
        std::fprintf(stderr, "udf: %s", error.traceback().c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "udf: %s\n", error.what());
    }
    return 1;
}

/// How long a function takes over all blobs of a database, by `threads` at once.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace udf {

struct measured {
    double seconds;
    long long sum; ///< of what the function gave
};

/// The database has a table `blobs(id INTEGER PRIMARY KEY, data BLOB)`. `how`: "bound": the blobs were loaded
/// into isthmus::bytes before, and are parameters; "read": by `blob()`; "column": as SQLite gives them.
[[nodiscard]] measured bench(const std::string& database, const std::filesystem::path& script,
                             const std::string& function, const std::string& how, int threads);

} // namespace udf

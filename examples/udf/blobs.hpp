/// Blobs that SQLite and Python see at the same place.
///
/// SQLite has no way to make its own memory Python's. So the memory is isthmus's, and SQLite is lent it:
/// sqlite3_bind_blob64 and sqlite3_result_blob64 take a pointer and a destructor, and copy nothing. Each
/// pointer that is lent is noted here until SQLite calls the destructor; a function whose argument lies at a
/// noted address gets the isthmus::bytes that it is. So in `f(g(x))` nothing is copied between g and f, nor
/// on the way out to sqlite3_column_blob; and, unlike with sqlite3_bind_pointer, it is a blob for the rest of
/// SQL as well: `length(g(x))` works.
///
/// SQLite never writes to lent memory: what it wants to change, it copies first.
#pragma once

#include <isthmus/bytes.hpp>

#include <cstdint>

#include <sqlite3.h>

namespace udf {

/// The value of a function. Any thread.
void give_blob(sqlite3_context* to, const isthmus::bytes& data);
/// A parameter of a statement. Any thread; an SQLite result code.
[[nodiscard]] int bind_blob(sqlite3_stmt* to, int index, const isthmus::bytes& data);
/// What SQLite was lent, or a copy of what is its own.
[[nodiscard]] isthmus::bytes take_blob(sqlite3_value* from);

/// Bytes that take_blob has copied so far.
[[nodiscard]] std::uint64_t copied_from_sqlite() noexcept;

/// A blob that lies in a table: from the pages of the database to where Python sees it, one copy. Throws
/// std::runtime_error with SQLite's message.
[[nodiscard]] isthmus::bytes read_blob(sqlite3* from, const char* table, const char* column,
                                       std::int64_t row);

} // namespace udf

/// Python functions as SQLite's.
#include "blobs.hpp"
#include "connection.hpp"

#include <isthmus/conversion.hpp>

#include <stdexcept>
#include <tuple>

namespace udf {
namespace {

/// Run after the script. Groups of an aggregate are kept here, under numbers that SQLite keeps.
constexpr const char* prelude = R"(
import inspect as _inspect

def _arity(function):
    kinds = _inspect.Parameter
    parameters = _inspect.signature(function).parameters.values()
    if any(p.kind is kinds.VAR_POSITIONAL or p.default is not p.empty for p in parameters):
        return -1
    return sum(p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) for p in parameters)

class _Groups:
    def __init__(self, make):
        self._make, self._open, self._last = make, {}, 0

    def begin(self):
        made = self._make()
        self._last += 1
        self._open[self._last] = made
        return self._last

    def step(self, group, *arguments):
        self._open[group].step(*arguments)

    def finalize(self, group):
        return (self._open.pop(group) if group else self._make()).finalize()

    def drop(self, group):
        self._open.pop(group, None)

def _listed():
    found = []
    for name, function in globals().get("SCALARS", {}).items():
        globals()[f"_scalar_{name}"] = function
        found.append((name, _arity(function), False))
    for name, make in globals().get("AGGREGATES", {}).items():
        globals()[f"_aggregate_{name}"] = _Groups(make)
        found.append((name, max(-1, _arity(make.step) - 1), True))
    if not found:
        raise LookupError("the script lists nothing in SCALARS or AGGREGATES")
    for name, _, _ in found:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name for a function")
    return found
)";

// ---- values

isthmus::value from_sql(sqlite3_value* given) {
    switch (sqlite3_value_type(given)) {
    case SQLITE_INTEGER:
        return static_cast<std::int64_t>(sqlite3_value_int64(given));
    case SQLITE_FLOAT:
        return sqlite3_value_double(given);
    case SQLITE_BLOB:
        return take_blob(given);
    case SQLITE_TEXT: {
        const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(given));
        return std::string_view(text, static_cast<std::size_t>(sqlite3_value_bytes(given)));
    }
    default:
        return {};
    }
}

void to_sql(sqlite3_context* to, const isthmus::value& made) {
    if (made.is_none()) {
        sqlite3_result_null(to);
    } else if (made.holds<bool>() || made.holds<std::int64_t>()) {
        sqlite3_result_int64(to, made.as<std::int64_t>());
    } else if (const auto* const number = made.get_if<double>()) {
        sqlite3_result_double(to, *number);
    } else if (const auto* const data = made.get_if<isthmus::bytes>()) {
        give_blob(to, *data);
    } else if (const auto* const text = made.get_if<isthmus::text>()) {
        const std::string utf8 = text->str();
        sqlite3_result_text64(to, utf8.data(), utf8.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else {
        made.refuse("None, bool, int of 64 bits, float, str or bytes");
    }
}

// ---- callbacks: SQLite is C, so no exception passes

template <typename Work> void guarded(sqlite3_context* context, Work work) noexcept {
    try {
        work();
    } catch (const std::bad_alloc&) {
        sqlite3_result_error_nomem(context);
    } catch (const std::exception& error) {
        sqlite3_result_error(context, error.what(), -1);
    }
}

/// The arguments; before them, `first` if there is one.
std::vector<isthmus::value> arguments(int count, sqlite3_value** given,
                                      std::optional<std::int64_t> first = {}) {
    std::vector<isthmus::value> made;
    made.reserve(static_cast<std::size_t>(count) + 1);
    if (first) {
        made.emplace_back(*first);
    }
    for (int i = 0; i < count; ++i) {
        made.push_back(from_sql(given[i]));
    }
    return made;
}

struct scalar {
    std::shared_ptr<isthmus::interpreter> in;
    isthmus::function function;
};

void call_scalar(sqlite3_context* context, int count, sqlite3_value** given) {
    guarded(context, [&] {
        auto& self = *static_cast<scalar*>(sqlite3_user_data(context));
        const isthmus::entered scope(*self.in);
        to_sql(context, self.function.invoke(arguments(count, given)));
    });
}

struct aggregate {
    std::shared_ptr<isthmus::interpreter> in;
    isthmus::function begin, step, finalize, drop;
};

/// SQLite makes one for each group, all zero.
struct group {
    std::int64_t number;
    bool failed;
};

void call_step(sqlite3_context* context, int count, sqlite3_value** given) {
    auto* const here = static_cast<group*>(sqlite3_aggregate_context(context, sizeof(group)));
    if (here == nullptr) {
        sqlite3_result_error_nomem(context);
        return;
    }
    bool good = false;
    guarded(context, [&] {
        auto& self = *static_cast<aggregate*>(sqlite3_user_data(context));
        const isthmus::entered scope(*self.in);
        if (here->number == 0) {
            here->number = self.begin().as<std::int64_t>();
        }
        self.step.invoke(arguments(count, given, here->number));
        good = true;
    });
    here->failed |= !good;
}

/// Also called after a step that failed, and when a query is given up: only to let go of the group.
void call_finalize(sqlite3_context* context) {
    const auto* const here = static_cast<group*>(sqlite3_aggregate_context(context, 0));
    guarded(context, [&] {
        auto& self = *static_cast<aggregate*>(sqlite3_user_data(context));
        const isthmus::entered scope(*self.in);
        if (here != nullptr && here->failed) {
            self.drop(here->number);
        } else {
            to_sql(context, self.finalize(here != nullptr ? here->number : 0));
        }
    });
}

void call_blob(sqlite3_context* context, int, sqlite3_value** given) {
    guarded(context, [&] {
        const auto* const table = reinterpret_cast<const char*>(sqlite3_value_text(given[0]));
        const auto* const column = reinterpret_cast<const char*>(sqlite3_value_text(given[1]));
        if (table == nullptr || column == nullptr) {
            throw std::invalid_argument("blob(table, column, rowid): NULL is no name");
        }
        sqlite3* const in = sqlite3_context_db_handle(context);
        give_blob(context, read_blob(in, table, column, sqlite3_value_int64(given[2])));
    });
}

template <typename State> void destroy(void* state) {
    delete static_cast<State*>(state);
}

} // namespace

void define_functions(sqlite3* in, const std::shared_ptr<isthmus::interpreter>& python) {
    const auto require = [in](int code) {
        if (code != SQLITE_OK) {
            throw std::runtime_error(sqlite3_errmsg(in));
        }
    };
    require(sqlite3_create_function_v2(in, "blob", 3, SQLITE_UTF8, nullptr, call_blob, nullptr, nullptr,
                                       nullptr));
    python->run(prelude, "<prelude of udf>");
    using entry = std::tuple<std::string, int, bool>;
    for (const auto& [name, arity, is_aggregate] : python->call_as<std::vector<entry>>("_listed")) {
        // From here on they are SQLite's, which destroys them even if it refuses.
        if (is_aggregate) {
            const auto method = [&python, &of_name = name](const char* of) {
                return python->function("_aggregate_" + of_name + "." + of);
            };
            auto* const made =
                new aggregate{python, method("begin"), method("step"), method("finalize"), method("drop")};
            require(sqlite3_create_function_v2(in, name.c_str(), arity, SQLITE_UTF8, made, nullptr, call_step,
                                               call_finalize, destroy<aggregate>));
        } else {
            auto* const made = new scalar{python, python->function("_scalar_" + name)};
            require(sqlite3_create_function_v2(in, name.c_str(), arity, SQLITE_UTF8, made, call_scalar,
                                               nullptr, nullptr, destroy<scalar>));
        }
    }
}

} // namespace udf

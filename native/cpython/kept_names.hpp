/// Strings by which the runtime looks things up for each job, kept in each interpreter: made anew, hashed and
/// thrown away they would be a good part of a short job.
///
/// All of it: in `here`, the current interpreter, under its GIL. What is kept is let go of when the exit
/// handler of `here` runs; later calls make what they return.
#pragma once

#include "cpython/refs.hpp"

#include "core/registry.hpp"

#include <cstdint>
#include <string_view>

namespace isthmus::py {

enum class known_name : std::uint8_t { main, standard_output, standard_error };

/// What sys.stdout or sys.stderr is now; null, with no error set, if there is none.
[[nodiscard]] ref standard_stream(core::interpreter& here, known_name which);
/// The module `__main__`. Throws python_error.
[[nodiscard]] ref main_module(core::interpreter& here);
/// A str of `utf8`; the last one asked for is at hand. Throws python_error.
[[nodiscard]] ref str_of(core::interpreter& here, std::string_view utf8);

/// By the exit handler, once it has said that it ran.
void let_go_of_names(core::interpreter& here) noexcept;

} // namespace isthmus::py

/// What an isthmus::interpreter holds.
#pragma once

#include <isthmus/interpreter.hpp>

#include "core/message.hpp"
#include "core/registry.hpp"

#include <memory>

namespace isthmus::detail {

/// Any thread. Its end closes the interpreter, if it is the last that keeps it and nothing runs there.
struct interpreter_state {
    interpreter_state(core::interpreter_ref of, std::unique_ptr<core::attachment> kept) noexcept
        : record(std::move(of)), handle(std::move(kept)) {}
    interpreter_state(const interpreter_state&) = delete;
    interpreter_state& operator=(const interpreter_state&) = delete;
    ~interpreter_state();

    const core::interpreter_ref record;
    /// Keeps it open, as an Interpreter object in Python does; null for main.
    std::unique_ptr<core::attachment> handle;
};

} // namespace isthmus::detail

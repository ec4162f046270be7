/// What isthmus throws. Every exception derives from `isthmus::error`, but for std::bad_alloc, and
/// std::invalid_argument for an argument that can never be right.
///
/// | exception               | Python's name of it (PEP 734, api)            |
/// |-------------------------|------------------------------------------------|
/// | `interpreter_error`     | InterpreterError: closed, running, no runtime  |
/// | `not_shareable_error`   | NotShareableError: a value can't cross         |
/// | `closed_error`          | EOFError, ShutDown: nothing more will come     |
/// | `released_error`        | ValueError: this side closed its own end       |
/// | `poisoned_error`        | what the channel was poisoned with             |
/// | `timeout_error`         | TimeoutError                                   |
/// | `cancelled_error`       | CancelledError: a posted call was cancelled    |
/// | `type_error`            | TypeError: a value is of another type          |
/// | `python_error`          | any exception that Python code raised          |
#pragma once

#include <stdexcept>

namespace isthmus {

class [[gnu::visibility("default")]] error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~error() override;
};

/// The interpreter is closed or closing, or runs already; or the runtime is not there.
class [[gnu::visibility("default")]] interpreter_error : public error {
  public:
    using error::error;
    ~interpreter_error() override;
};

/// A value, or a part of it, can't cross. The text names the part.
class [[gnu::visibility("default")]] not_shareable_error : public error {
  public:
    using error::error;
    ~not_shareable_error() override;
};

/// The channel or queue has come to its end: all of the other side are gone, or it was shut down.
class [[gnu::visibility("default")]] closed_error : public error {
  public:
    using error::error;
    ~closed_error() override;
};

/// The host closed its own end before.
class [[gnu::visibility("default")]] released_error : public error {
  public:
    using error::error;
    ~released_error() override;
};

/// Somebody poisoned the channel; the text is the reason.
class [[gnu::visibility("default")]] poisoned_error : public error {
  public:
    using error::error;
    ~poisoned_error() override;
};

/// The time given was not enough. Nothing has happened.
class [[gnu::visibility("default")]] timeout_error : public error {
  public:
    using error::error;
    ~timeout_error() override;
};

/// The posted call was cancelled before it began.
class [[gnu::visibility("default")]] cancelled_error : public error {
  public:
    using error::error;
    ~cancelled_error() override;
};

/// A value is not what it was asked for, or does not fit.
class [[gnu::visibility("default")]] type_error : public error {
  public:
    using error::error;
    ~type_error() override;
};

} // namespace isthmus

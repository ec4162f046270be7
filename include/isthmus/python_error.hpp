/// An exception that Python code raised, as the host sees it.
#pragma once

#include <isthmus/error.hpp>

#include <string>

namespace isthmus {

/// Text and no objects: it may outlive the interpreter it comes from. `what()` is "Type: message".
class [[gnu::visibility("default")]] python_error : public error {
  public:
    python_error(std::string type, std::string message, std::string traceback);
    ~python_error() override;

    /// The name of its class; with its module, unless that is `builtins` or `__main__`.
    [[nodiscard]] const std::string& type() const noexcept { return type_; }
    [[nodiscard]] const std::string& message() const noexcept { return message_; }
    /// As Python prints it, with causes and contexts; ends with the line "Type: message".
    [[nodiscard]] const std::string& traceback() const noexcept { return traceback_; }

  private:
    std::string type_;
    std::string message_;
    std::string traceback_;
};

} // namespace isthmus

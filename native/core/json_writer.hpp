/// Writes JSON into a string: just what inspection needs, and nothing that could be wrong JSON.
///
/// Keys are literals of ours and need no escaping; text may be anything. Commas come by themselves. Not
/// thread safe; may throw std::bad_alloc. Calls must nest, which debug builds assert.
#pragma once

#include <cassert>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace isthmus::core {

class json_writer {
  public:
    json_writer& begin_object() { return begin('{'); }
    json_writer& end_object() { return end('}'); }
    json_writer& begin_array() { return begin('['); }
    json_writer& end_array() { return end(']'); }
    /// Must be followed by one value.
    json_writer& key(std::string_view literal);

    json_writer& null() { return plain("null"); }
    json_writer& value(bool b) { return plain(b ? "true" : "false"); }
    template <std::integral Number> json_writer& value(Number n) { return plain(std::to_string(n)); }
    /// What is not UTF-8 in it becomes U+FFFD, byte by byte.
    json_writer& text(std::string_view s);

    template <typename T> json_writer& field(std::string_view literal, T v) { return key(literal).value(v); }

    /// The document; the writer is empty afterwards.
    [[nodiscard]] std::string take() noexcept {
        assert(depth_ == 0);
        needs_comma_ = false;
        return std::move(out_);
    }

  private:
    json_writer& begin(char bracket);
    json_writer& end(char bracket);
    json_writer& plain(std::string_view s);
    void separate();

    std::string out_;
    bool needs_comma_ = false;
    int depth_ = 0;
};

} // namespace isthmus::core

#include "core/json_writer.hpp"

#include <array>
#include <cstddef>

namespace isthmus::core {
namespace {

/// Length of the UTF-8 sequence that `s` begins with; 0: it is none (overlong, a surrogate, cut off).
std::size_t utf8_length(std::string_view s) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) {
        return 1;
    }
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || s.size() < length) {
        return 0;
    }
    // The second byte's range is smaller after some first ones: see the table of well-formed sequences in the
    // Unicode standard.
    const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (byte(1) < low || byte(1) > high) {
        return 0;
    }
    for (std::size_t i = 2; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

void append_escape(std::string& out, unsigned char control) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u00";
    out += digits[control >> 4];
    out += digits[control & 0xf];
}

} // namespace

void json_writer::separate() {
    if (needs_comma_) {
        out_ += ',';
    }
    needs_comma_ = true;
}

json_writer& json_writer::begin(char bracket) {
    separate();
    out_ += bracket;
    needs_comma_ = false;
    ++depth_;
    return *this;
}

json_writer& json_writer::end(char bracket) {
    assert(depth_ > 0);
    out_ += bracket;
    needs_comma_ = true;
    --depth_;
    return *this;
}

json_writer& json_writer::plain(std::string_view s) {
    separate();
    out_ += s;
    return *this;
}

json_writer& json_writer::key(std::string_view literal) {
    separate();
    out_ += '"';
    out_ += literal;
    out_ += "\":";
    needs_comma_ = false;
    return *this;
}

json_writer& json_writer::text(std::string_view s) {
    separate();
    out_ += '"';
    while (!s.empty()) {
        const std::size_t length = utf8_length(s);
        const auto first = static_cast<unsigned char>(s.front());
        if (length == 0) {
            out_ += "\xef\xbf\xbd";
            s.remove_prefix(1);
            continue;
        }
        if (first == '"' || first == '\\') {
            out_ += '\\';
            out_ += s.front();
        } else if (first < 0x20 || first == 0x7f) { // a terminal must not obey what a name holds
            append_escape(out_, first);
        } else {
            out_ += s.substr(0, length);
        }
        s.remove_prefix(length);
    }
    out_ += '"';
    return *this;
}

} // namespace isthmus::core

#include "messages.hpp"

#include <boost/beast/http/status.hpp>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string_view>

namespace httpd {
namespace http = boost::beast::http;
namespace {

std::string utf8(boost::beast::string_view latin1) {
    std::string made;
    made.reserve(latin1.size());
    for (const char each : latin1) {
        const auto code = static_cast<unsigned char>(each);
        if (code < 0x80) {
            made += each;
        } else {
            made += static_cast<char>(0xC0U | (code >> 6U));
            made += static_cast<char>(0x80U | (code & 0x3FU));
        }
    }
    return made;
}

/// RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
    constexpr std::string_view allowed =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

/// A line end in it would begin another header.
bool is_field_text(std::string_view text) {
    return std::ranges::all_of(text, [](char each) { return each == '\t' || (each >= ' ' && each <= '~'); });
}

} // namespace

request request_of(const http::request_header<>& from) {
    request made;
    made.method = std::string(from.method_string());
    made.target = utf8(from.target());
    for (const auto& field : from) {
        made.headers.emplace_back(std::string(field.name_string()), utf8(field.value()));
    }
    return made;
}

reply plain(unsigned status) {
    const auto reason = http::obsolete_reason(static_cast<http::status>(status));
    reply made;
    made.status = status;
    made.headers = {{"Content-Type", "text/plain"}};
    if (status == 503) {
        made.headers.emplace_back("Retry-After", "1");
    }
    made.body = isthmus::bytes(std::string(reason) + "\n");
    return made;
}

reply failure(const std::string& what, const std::exception_ptr& why) {
    try {
        std::rethrow_exception(why);
    } catch (const isthmus::timeout_error&) {
        std::fprintf(stderr, "httpd: %s: the handler took too long and was interrupted\n", what.c_str());
        return plain(504);
    } catch (const isthmus::python_error& raised) {
        std::fprintf(stderr, "httpd: %s:\n%s\n", what.c_str(), raised.traceback().c_str());
    } catch (const std::exception& other) {
        std::fprintf(stderr, "httpd: %s: %s\n", what.c_str(), other.what());
    }
    return plain(500);
}

void check(const reply& given) {
    if (given.status < 200 || given.status > 599) {
        throw std::domain_error("the handler's status is " + std::to_string(given.status));
    }
    for (const auto& [name, text] : given.headers) {
        if (!is_token(name) || !is_field_text(text)) {
            throw std::domain_error("the handler's header can't be sent: " + name);
        }
    }
}

} // namespace httpd

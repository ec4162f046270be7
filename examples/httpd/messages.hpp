/// Between HTTP's messages and what handlers take and give.
#pragma once

#include "handlers.hpp"

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>

#include <exception>
#include <string>

namespace httpd {

/// In the place of a status: there is nobody to answer to.
inline constexpr unsigned gone = 1;

/// Without its body. Bytes beyond ASCII are taken for Latin-1, so that every request has a text.
[[nodiscard]] request request_of(const boost::beast::http::request_header<>& from);

/// A short text that says what the status means.
[[nodiscard]] reply plain(unsigned status);

/// Of a handler that gave no reply; the log tells why.
[[nodiscard]] reply failure(const std::string& what, const std::exception_ptr& why);

/// Throws std::domain_error: this can't be sent.
void check(const reply& given);

} // namespace httpd

/// Python callables that a host calls from inside their interpreter.
#pragma once

#include <isthmus/value.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace isthmus {

class interpreter;

namespace detail {

struct function_state;

/// One argument, as its caller has it: names things, owns nothing.
class argument {
  public:
    enum class kind : std::uint8_t { none, truth, integer, real, utf8, octets, whole };

    constexpr argument() noexcept : integer_(0) {}
    explicit constexpr argument(bool v) noexcept : is_(kind::truth), truth_(v) {}
    explicit constexpr argument(std::int64_t v) noexcept : is_(kind::integer), integer_(v) {}
    explicit constexpr argument(double v) noexcept : is_(kind::real), real_(v) {}
    /// `of` kind utf8 or octets.
    constexpr argument(kind of, const void* data, std::size_t size) noexcept
        : is_(of), size_(size), data_(data) {}
    explicit constexpr argument(const value& v) noexcept : is_(kind::whole), data_(&v) {}

    [[nodiscard]] constexpr kind is() const noexcept { return is_; }
    [[nodiscard]] constexpr bool truth() const noexcept { return truth_; }
    [[nodiscard]] constexpr std::int64_t integer() const noexcept { return integer_; }
    [[nodiscard]] constexpr double real() const noexcept { return real_; }
    [[nodiscard]] std::string_view view() const noexcept { return {static_cast<const char*>(data_), size_}; }
    [[nodiscard]] const value& whole() const noexcept { return *static_cast<const value*>(data_); }

  private:
    kind is_ = kind::none;
    std::size_t size_ = 0;
    union {
        bool truth_;
        std::int64_t integer_;
        double real_;
        const void* data_;
    };
};

/// What a call returned, if that is something small; else, `other`, it lies elsewhere.
struct scalar {
    enum class kind : std::uint8_t { none, truth, integer, real, other };

    kind is = kind::none;
    union held {
        std::int64_t integer;
        double real;
        bool truth;
    } as = {0};
};

inline value whole(const scalar& result, std::optional<value>& other) {
    switch (result.is) {
    case scalar::kind::none:
        break;
    case scalar::kind::truth:
        return value::of(result.as.truth);
    case scalar::kind::integer:
        return value::of(result.as.integer);
    case scalar::kind::real:
        return value::of(result.as.real);
    case scalar::kind::other:
        return *std::move(other);
    }
    return {};
}

template <typename T> inline constexpr bool is_octets = false;
template <typename T, std::size_t Extent>
inline constexpr bool is_octets<std::span<T, Extent>> = std::same_as<std::remove_const_t<T>, std::byte>;

template <typename T>
concept c_string = std::same_as<T, const char*> || std::same_as<T, char*>;
/// Known to `argument`; all else is made a value first. `bytes` that lie in shared memory are, too.
template <typename T>
concept passed_directly = std::same_as<T, bool> || integer<T> || std::floating_point<T> || c_string<T> ||
    std::same_as<T, std::string> || std::same_as<T, std::string_view> || is_octets<T> ||
    std::same_as<T, std::nullptr_t> || std::same_as<T, std::nullopt_t>;

template <typename T>
requires passed_directly<std::decay_t<T>> argument pass(const T& v) {
    using type = std::decay_t<T>;
    if constexpr (std::same_as<type, bool>) {
        return argument(v);
    } else if constexpr (integer<type>) {
        if (!std::in_range<std::int64_t>(v)) {
            refuse_number();
        }
        return argument(static_cast<std::int64_t>(v));
    } else if constexpr (std::floating_point<type>) {
        return argument(static_cast<double>(v));
    } else if constexpr (c_string<type>) {
        const char* const text = v;
        return text != nullptr ? argument(argument::kind::utf8, text, std::string_view(text).size())
                               : argument();
    } else if constexpr (is_octets<type>) {
        return {argument::kind::octets, v.data(), v.size()};
    } else if constexpr (std::same_as<type, std::nullptr_t> || std::same_as<type, std::nullopt_t>) {
        return {};
    } else {
        return {argument::kind::utf8, v.data(), v.size()};
    }
}
/// A value that was made for this lives as long as the expression of the call.
inline argument pass(const value& v) noexcept {
    return argument(v);
}

} // namespace detail

/// A Python callable held in its interpreter. Movable; destroyed anywhere, before or after the interpreter
/// closes.
///
/// All calls: inside an `entered` scope of its interpreter. Arguments and results do not cross: they are made
/// and read where they are; numbers, strings and small bytes without a `value` in between. They throw as
/// interpreter::call; interpreter_error elsewhere.
class [[gnu::visibility("default")]] function {
  public:
    function(function &&) noexcept;
    function& operator=(function&&) noexcept;
    ~function();

    template <typename... T> value operator()(const T&... arguments) {
        std::optional<value> other;
        const detail::scalar result =
            call(std::array{detail::pass(arguments)..., detail::argument()}.data(), sizeof...(T), other);
        return detail::whole(result, other);
    }
    /// The result as an R: a number without a `value` in between.
    template <typename R, typename... T> R call_as(const T&... arguments) {
        std::optional<value> other;
        const detail::scalar result =
            call(std::array{detail::pass(arguments)..., detail::argument()}.data(), sizeof...(T), other);
        if constexpr (std::same_as<R, bool>) {
            if (result.is == detail::scalar::kind::truth) {
                return result.as.truth;
            }
        } else if constexpr (detail::integer<R>) {
            if (result.is == detail::scalar::kind::integer && std::in_range<R>(result.as.integer)) {
                return static_cast<R>(result.as.integer);
            }
        } else if constexpr (std::floating_point<R>) {
            if (result.is == detail::scalar::kind::real) {
                return static_cast<R>(result.as.real);
            }
        }
        return detail::whole(result, other).template as<R>();
    }
    value invoke(std::span<const value> arguments);

  private:
    friend class interpreter;
    explicit function(std::unique_ptr<detail::function_state> state) noexcept;

    detail::scalar call(const detail::argument* given, std::size_t count, std::optional<value>& other);
    std::unique_ptr<detail::function_state> state_;
};

} // namespace isthmus

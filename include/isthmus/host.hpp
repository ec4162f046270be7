/// Functions of the host that Python calls, in every interpreter: `isthmus.host.name(...)`.
#pragma once

#include <isthmus/value.hpp>

#include <functional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace isthmus {

namespace detail {
using host_function = std::function<value(std::span<const value>)>;

[[gnu::visibility("default")]] void register_host_function(std::string_view name, host_function f, int arity);

template <typename T> struct signature : signature<decltype(&T::operator())> {};
template <typename R, typename... A> struct signature<R (*)(A...)> {
    using arguments = std::tuple<std::remove_cvref_t<A>...>;
    using result = R;
};
template <typename R, typename... A> struct signature<R (*)(A...) noexcept> : signature<R (*)(A...)> {};
template <typename C, typename R, typename... A>
struct signature<R (C::*)(A...) const> : signature<R (*)(A...)> {};
template <typename C, typename R, typename... A> struct signature<R (C::*)(A...)> : signature<R (*)(A...)> {};
template <typename C, typename R, typename... A>
struct signature<R (C::*)(A...) const noexcept> : signature<R (*)(A...)> {};
template <typename C, typename R, typename... A>
struct signature<R (C::*)(A...) noexcept> : signature<R (*)(A...)> {};
} // namespace detail

/// Makes `f` callable as `isthmus.host.name` in every interpreter, those that exist and those to come; replaces
/// one of the same name, for calls that begin later. Before or after the runtime's start; any thread.
///
/// Python's arguments cross as for `Interpreter.call`, and become f's parameter types by isthmus::conversion; the
/// result crosses back. f runs on the calling thread WITHOUT the GIL, so it may block, and several threads may be
/// in it at once; to use the C API it enters the interpreter. What it throws reaches Python: python_error as the
/// exception it was, if its class is a builtin one; type_error as TypeError, std::invalid_argument and
/// std::domain_error as ValueError, std::out_of_range as IndexError, timeout_error as TimeoutError,
/// closed_error as EOFError, std::bad_alloc as MemoryError, std::system_error as OSError, anything else as
/// RuntimeError with its text.
///
/// `name`: a Python identifier; std::invalid_argument if not. A callable that takes std::span<const value> gets
/// all arguments as they are, any number.
template <typename F> void define_host_function(std::string_view name, F f) {
    if constexpr (std::is_invocable_v<F&, std::span<const value>>) {
        detail::register_host_function(
            name,
            [f = std::move(f)](std::span<const value> given) mutable -> value {
                if constexpr (std::is_void_v<std::invoke_result_t<F&, std::span<const value>>>) {
                    f(given);
                    return {};
                } else {
                    return value(f(given));
                }
            },
            -1);
    } else {
        using arguments = typename detail::signature<std::decay_t<F>>::arguments;
        using result = typename detail::signature<std::decay_t<F>>::result;
        constexpr std::size_t count = std::tuple_size_v<arguments>;
        detail::register_host_function(
            name,
            [f = std::move(f)](std::span<const value> given) mutable -> value {
                return [&]<std::size_t... I>(std::index_sequence<I...>) -> value {
                    if constexpr (std::is_void_v<result>) {
                        f(given[I].template as<std::tuple_element_t<I, arguments>>()...);
                        return {};
                    } else {
                        return value(f(given[I].template as<std::tuple_element_t<I, arguments>>()...));
                    }
                }(std::make_index_sequence<count>{});
            },
            static_cast<int>(count));
    }
}

/// False: there was none. Calls that are under way finish.
[[gnu::visibility("default")]] bool remove_host_function(std::string_view name);

} // namespace isthmus

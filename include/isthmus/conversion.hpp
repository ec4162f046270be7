/// Conversions between values and C++ types: numbers, strings, bytes, spans, optional, vector, pairs and
/// tuples, maps. See value.hpp.
#pragma once

#include <isthmus/value.hpp>

#include <array>
#include <cstring>
#include <limits>
#include <tuple>

namespace isthmus {

template <> struct conversion<value> {
    static value to(const value& v) { return v; }
    static value from(const value& v) { return v; }
};

template <> struct conversion<std::nullptr_t> {
    static value to(std::nullptr_t) { return {}; }
};
template <> struct conversion<std::nullopt_t> {
    static value to(std::nullopt_t) { return {}; }
};

template <> struct conversion<bool> {
    static value to(bool v) { return value::of(v); }
    static bool from(const value& v) {
        const bool* const held = v.get_if<bool>();
        return held != nullptr ? *held : (v.refuse("bool"), false);
    }
};

namespace detail {
template <typename T>
concept integer =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
    !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;
/// Throws type_error.
[[noreturn, gnu::visibility("default")]] void refuse_number();
} // namespace detail

/// Of any width. One that does not fit throws type_error, both ways: nothing is cut.
template <detail::integer T> struct conversion<T> {
    static value to(T v) {
        if (!std::in_range<std::int64_t>(v)) {
            detail::refuse_number();
        }
        return value::of(static_cast<std::int64_t>(v));
    }
    static T from(const value& v) {
        const auto* const held = v.get_if<std::int64_t>();
        if (held == nullptr) {
            const bool* const truth = v.get_if<bool>(); // an int, in Python
            return truth != nullptr ? static_cast<T>(*truth) : (v.refuse("int"), T{});
        }
        if (!std::in_range<T>(*held)) {
            detail::refuse_number();
        }
        return static_cast<T>(*held);
    }
};

/// An int is taken for a float, as Python does.
template <std::floating_point T> struct conversion<T> {
    static value to(T v) { return value::of(static_cast<double>(v)); }
    static T from(const value& v) {
        if (const auto* const held = v.get_if<double>()) {
            return static_cast<T>(*held);
        }
        const auto* const whole = v.get_if<std::int64_t>();
        return whole != nullptr ? static_cast<T>(*whole) : (v.refuse("float"), T{});
    }
};

template <> struct conversion<bytes> {
    static value to(const bytes& v) { return value::of(v); }
    static bytes from(const value& v) {
        const bytes* const held = v.get_if<bytes>();
        return held != nullptr ? *held : (v.refuse("bytes"), bytes{});
    }
};

/// Becomes `bytes`: one copy.
template <std::size_t Extent> struct conversion<std::span<const std::byte, Extent>> {
    static value to(std::span<const std::byte, Extent> v) { return value::of(bytes(v)); }
};
template <std::size_t Extent> struct conversion<std::span<std::byte, Extent>> {
    static value to(std::span<const std::byte, Extent> v) { return value::of(bytes(v)); }
};

/// All others become a list.
template <typename T, std::size_t Extent>
requires(!std::same_as<std::remove_const_t<T>, std::byte>) struct conversion<std::span<T, Extent>> {
    static value to(std::span<const T, Extent> v) { return value::of(value::list(v.begin(), v.end())); }
};

template <> struct conversion<text> {
    static value to(const text& v) { return value::of(v); }
    static text from(const value& v) {
        const text* const held = v.get_if<text>();
        return held != nullptr ? *held : (v.refuse("str"), text{});
    }
};

/// UTF-8; becomes `str`, a null pointer None. For `bytes`, say isthmus::bytes.
template <> struct conversion<std::string> {
    static value to(const std::string& v) { return value::of(text(v)); }
    static std::string from(const value& v) {
        const text* const held = v.get_if<text>();
        return held != nullptr ? held->str() : (v.refuse("str"), std::string{});
    }
};
template <> struct conversion<std::string_view> {
    static value to(std::string_view v) { return value::of(text(v)); }
};
template <> struct conversion<const char*> {
    static value to(const char* v) { return v != nullptr ? value::of(text(std::string_view(v))) : value(); }
};
template <> struct conversion<char*> {
    static value to(const char* v) { return v != nullptr ? value::of(text(std::string_view(v))) : value(); }
};

/// nullopt is None.
template <typename T> struct conversion<std::optional<T>> {
    static value to(const std::optional<T>& v) { return v ? value(*v) : value(); }
    static std::optional<T> from(const value& v) {
        return v.is_none() ? std::nullopt : std::optional<T>(v.as<T>());
    }
};

namespace detail {
/// Of a list or a tuple; throws type_error.
[[gnu::visibility("default")]] const std::vector<value>& items_of(const value& v);
/// The same, of that length.
[[gnu::visibility("default")]] const std::vector<value>& items_of(const value& v, std::size_t length);
[[gnu::visibility("default")]] const value::dict& pairs_of(const value& v);

template <typename Map> value dict_of(const Map& from) {
    value::dict made;
    made.reserve(from.size());
    for (const auto& [key, each] : from) {
        made.emplace_back(value(key), value(each));
    }
    return value::of(std::move(made));
}
template <typename Map> Map map_of(const value& v) {
    Map made;
    for (const auto& [key, each] : pairs_of(v)) {
        made.insert_or_assign(key.template as<typename Map::key_type>(),
                              each.template as<typename Map::mapped_type>());
    }
    return made;
}
} // namespace detail

/// A list; from a tuple as well.
template <typename T> struct conversion<std::vector<T>> {
    static value to(const std::vector<T>& v) {
        value::list made;
        made.reserve(v.size());
        for (const auto& each : v) {
            made.emplace_back(static_cast<const T&>(each));
        }
        return value::of(std::move(made));
    }
    static std::vector<T> from(const value& v) {
        const std::vector<value>& items = detail::items_of(v);
        std::vector<T> made;
        made.reserve(items.size());
        for (const value& each : items) {
            made.push_back(each.as<T>());
        }
        return made;
    }
};

template <typename... T> struct conversion<std::tuple<T...>> {
    static value to(const std::tuple<T...>& v) {
        return value::of(value::tuple{std::apply([](const T&... each) { return args(each...); }, v)});
    }
    static std::tuple<T...> from(const value& v) {
        const std::vector<value>& items = detail::items_of(v, sizeof...(T));
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return std::tuple<T...>(items[I].template as<T>()...);
        }
        (std::index_sequence_for<T...>{});
    }
};
template <typename A, typename B> struct conversion<std::pair<A, B>> {
    static value to(const std::pair<A, B>& v) { return value::of(value::tuple{args(v.first, v.second)}); }
    static std::pair<A, B> from(const value& v) {
        const std::vector<value>& items = detail::items_of(v, 2);
        return {items[0].as<A>(), items[1].as<B>()};
    }
};
template <> struct conversion<value::tuple> {
    static value to(const value::tuple& v) { return value::of(v); }
    static value::tuple from(const value& v) { return {detail::items_of(v)}; }
};
/// As its name says, though it is a vector of pairs.
template <> struct conversion<value::dict> {
    static value to(const value::dict& v) { return value::of(v); }
    static value::dict from(const value& v) { return detail::pairs_of(v); }
};

template <typename K, typename V> struct conversion<std::map<K, V>> {
    static value to(const std::map<K, V>& v) { return detail::dict_of(v); }
    static std::map<K, V> from(const value& v) { return detail::map_of<std::map<K, V>>(v); }
};
template <typename K, typename V> struct conversion<std::unordered_map<K, V>> {
    static value to(const std::unordered_map<K, V>& v) { return detail::dict_of(v); }
    static std::unordered_map<K, V> from(const value& v) {
        return detail::map_of<std::unordered_map<K, V>>(v);
    }
};

} // namespace isthmus

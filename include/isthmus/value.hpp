/// A value that crosses: what Python code is given and gives back.
///
/// | Python                             | here                                            |
/// |------------------------------------|-------------------------------------------------|
/// | None                               | `value()`, std::nullopt                         |
/// | bool                               | bool                                            |
/// | int within 64 bits                 | std::int64_t                                    |
/// | float                              | double                                          |
/// | bytes                              | isthmus::bytes                                  |
/// | str                                | isthmus::text                                   |
/// | list, tuple                        | value::list, value::tuple                       |
/// | dict                               | value::dict: pairs, in order of insertion       |
/// | channel ends, queues, ClosedEvent  | send_channel, recv_channel, queue, closed_event |
/// | memoryview, mmap                   | isthmus::buffer: becomes a memoryview           |
/// | SharedBuffer                       | shared_buffer                                   |
/// | anything else that crosses         | `is_object()`: can be passed on, not looked into|
///
/// Threads: as a std::vector: one thread at a time may change a value, several may read it. No GIL is needed.
/// Copies are deep, but for bytes, text and handles, which are shared.
#pragma once

#include <isthmus/bytes.hpp>
#include <isthmus/error.hpp>

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace isthmus {

class value;

/// How a C++ type becomes a value and back: specialise it for a type of yours with
/// `static value to(const T&)` and `static T from(const value&)`, which throws type_error.
template <typename T> struct conversion;

namespace detail {
class handle; ///< an end of a channel, a queue, shown or shared memory
class object; ///< anything that can only be passed on

template <typename T>
concept scalar_alternative =
    std::same_as<T, bool> || std::same_as<T, std::int64_t> || std::same_as<T, double>;
} // namespace detail

class [[gnu::visibility("default")]] value {
  public:
    using list = std::vector<value>;
    struct tuple {
        std::vector<value> items;
        [[nodiscard]] bool operator==(const tuple&) const = default;
    };
    using dict = std::vector<std::pair<value, value>>;
    using handle = std::shared_ptr<const detail::handle>;
    using object = std::shared_ptr<const detail::object>;

    /// None.
    value() noexcept = default;
    value(const value& other) {
        copy_from(other);
    }
    value(value &&) noexcept = default;
    value& operator=(const value& other) {
        return *this = value(other); // which may be a part of this
    }
    value& operator=(value&& other) noexcept {
        variant taken = std::move(other.held_); // likewise
        held_.swap(taken);
        return *this;
    }
    /// However deep: none of value's own operations recurses.
    ~value() {
        if (has_parts()) {
            dismantle();
        }
    }
    template <typename T>
    requires(!std::same_as<std::remove_cvref_t<T>, value> &&
             requires(const std::remove_cvref_t<T>& v) {
                 { conversion<std::decay_t<T>>::to(v) } -> std::same_as<value>;
             }) value(const T& from)
        : value(conversion<std::decay_t<T>>::to(from)) {}

    /// The value as a T. Throws type_error if it is something else, or does not fit.
    template <typename T> [[nodiscard]] T as() const {
        return conversion<T>::from(*this);
    }

    [[nodiscard]] bool is_none() const noexcept {
        return std::holds_alternative<std::monostate>(held_);
    }
    template <typename T> [[nodiscard]] bool holds() const noexcept {
        return std::holds_alternative<T>(held_);
    }
    [[nodiscard]] bool is_object() const noexcept {
        return holds<object>();
    }
    /// The part of that very type, or null.
    template <typename T> [[nodiscard]] const T* get_if() const noexcept {
        return std::get_if<T>(&held_);
    }
    template <typename T> [[nodiscard]] T* get_if() noexcept {
        return std::get_if<T>(&held_);
    }

    /// Items of a list or tuple. Throws type_error if it is neither, std::out_of_range.
    [[nodiscard]] const value& operator[](std::size_t index) const;
    /// The value under this key in a dict. Throws type_error if it is none, std::out_of_range.
    [[nodiscard]] const value& operator[](std::string_view key) const;
    /// Of a list, tuple or dict; throws type_error.
    [[nodiscard]] std::size_t size() const;
    /// What it is in Python's words: "int", "list", ...; "object" if that is not known here.
    [[nodiscard]] std::string_view type_name() const noexcept;

    /// Of equal types and contents; objects and handles only if they are the same.
    [[nodiscard]] bool operator==(const value& other) const;

    /// Exactly this alternative.
    using variant = std::variant<std::monostate, bool, std::int64_t, double, bytes, text, list, tuple, dict,
                                 handle, object>;
    [[nodiscard]] static value of(variant held) {
        return value(std::move(held), 0);
    }
    template <detail::scalar_alternative T> [[nodiscard]] static value of(T held) noexcept {
        return value(std::in_place_type<T>, held);
    }
    [[nodiscard]] const variant& held() const noexcept {
        return held_;
    }
    [[nodiscard]] variant& held() noexcept {
        return held_;
    }

    /// Throws type_error: "int expected, not list".
    [[noreturn]] void refuse(std::string_view expected) const;

  private:
    value(variant && held, int) : held_(std::move(held)) {}
    template <typename T> value(std::in_place_type_t<T> as, T held) noexcept : held_(as, held) {}
    [[nodiscard]] bool has_parts() const noexcept {
        return holds<list>() || holds<tuple>() || holds<dict>();
    }
    void copy_from(const value& other);
    void dismantle() noexcept;

    variant held_;
};

/// For lists of arguments: `args(1, "two", 3.0)`.
template <typename... T> [[nodiscard]] std::vector<value> args(T&&... each) {
    std::vector<value> made;
    made.reserve(sizeof...(each));
    (made.push_back(value(std::forward<T>(each))), ...);
    return made;
}

} // namespace isthmus

#include <isthmus/conversion.hpp> // IWYU pragma: export

/// What `isthmus::value` does with its parts. Values may be nested as deep as there is memory, so nothing
/// here recurses: a walk keeps its own list of what is still to be done.
///
/// Any thread, no GIL; a value belongs to one thread at a time.
#include <isthmus/value.hpp>

#include "cxx/codec.hpp"

#include <array>
#include <stdexcept>

namespace isthmus {
namespace {

/// The items of a list or a tuple; null: it is neither.
const std::vector<value>* sequence_in(const value::variant& held) noexcept {
    if (const auto* const list = std::get_if<value::list>(&held)) {
        return list;
    }
    const auto* const tuple = std::get_if<value::tuple>(&held);
    return tuple != nullptr ? &tuple->items : nullptr;
}
std::vector<value>* sequence_in(value::variant& held) noexcept {
    return const_cast<std::vector<value>*>(sequence_in(std::as_const(held)));
}

std::size_t parts_in(const value& v) noexcept {
    if (const auto* const items = sequence_in(v.held())) {
        return items->size();
    }
    const auto* const pairs = v.get_if<value::dict>();
    return pairs != nullptr ? pairs->size() : 0;
}

// ---- the end of a value: its parts go last first, and what is inside a part before the part

/// Precondition: it has parts.
value& first_part(value::variant& held) noexcept {
    if (auto* const items = sequence_in(held)) {
        return items->front();
    }
    return std::get_if<value::dict>(&held)->front().first;
}

/// The last part that has parts itself, after those behind it were dropped. `linked`: the first part is not
/// to be looked at.
value* last_with_parts(value::variant& held, bool linked) noexcept {
    if (auto* const items = sequence_in(held)) {
        for (; items->size() > (linked ? 1 : 0); items->pop_back()) {
            if (parts_in(items->back()) != 0) {
                return &items->back();
            }
        }
        return nullptr;
    }
    auto& pairs = *std::get_if<value::dict>(&held);
    for (; !pairs.empty(); pairs.pop_back()) {
        auto& [key, each] = pairs.back();
        if (parts_in(each) != 0) {
            return &each;
        }
        if (linked && pairs.size() == 1) {
            return nullptr;
        }
        if (parts_in(key) != 0) {
            return &key;
        }
    }
    return nullptr;
}

// ---- walks through two values at once

struct copying {
    const value* from;
    value* to;
};

/// `to` is None. What has parts itself is put off.
void copy_part(const value& from, value& to, std::vector<copying>& later) {
    if (sequence_in(from.held()) != nullptr || from.holds<value::dict>()) {
        later.push_back({&from, &to});
    } else {
        to.held() = from.held();
    }
}

void copy_container(const value& from, value& to, std::vector<copying>& later) {
    if (const auto* const pairs = from.get_if<value::dict>()) {
        auto& made = to.held().emplace<value::dict>(pairs->size());
        for (std::size_t i = 0; i < made.size(); ++i) {
            copy_part((*pairs)[i].first, made[i].first, later);
            copy_part((*pairs)[i].second, made[i].second, later);
        }
        return;
    }
    const std::vector<value>& items = *sequence_in(from.held());
    std::vector<value>& made = from.holds<value::list>() ? to.held().emplace<value::list>()
                                                         : to.held().emplace<value::tuple>().items;
    made.resize(items.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
        copy_part(items[i], made[i], later);
    }
}

struct comparing {
    const value* a;
    const value* b;
};

/// False: they differ, whatever is in their parts. Of the same alternative.
bool alike(const value& a, const value& b, std::vector<comparing>& later) {
    if (const auto* const items = sequence_in(a.held())) {
        const std::vector<value>& others = *sequence_in(b.held());
        for (std::size_t i = 0; i < items->size() && items->size() == others.size(); ++i) {
            later.push_back({&(*items)[i], &others[i]});
        }
        return items->size() == others.size();
    }
    if (const auto* const pairs = a.get_if<value::dict>()) {
        const auto& others = *b.get_if<value::dict>();
        for (std::size_t i = 0; i < pairs->size() && pairs->size() == others.size(); ++i) {
            later.push_back({&(*pairs)[i].first, &others[i].first});
            later.push_back({&(*pairs)[i].second, &others[i].second});
        }
        return pairs->size() == others.size();
    }
    if (const auto* const handle = a.get_if<value::handle>()) {
        const auto& other = *b.get_if<value::handle>();
        return *handle == other || (*handle && other && (*handle)->same(*other));
    }
    return a.held() == b.held();
}

} // namespace

/// On the way down, the place of the first part holds the container above, and that part takes the place that
/// its container had: no memory is needed.
void value::dismantle() noexcept {
    variant here = std::move(held_);
    std::size_t depth = 0;
    for (;;) {
        if (value* const inner = last_with_parts(here, depth > 0)) {
            variant below = std::move(inner->held_);
            value& first = first_part(below);
            inner->held_ = std::move(first.held_);
            first.held_ = std::move(here);
            here = std::move(below);
            ++depth;
        } else if (depth > 0) {
            variant above = std::move(first_part(here).held_);
            here = std::move(above);
            --depth;
        } else {
            return;
        }
    }
}

void value::copy_from(const value& other) {
    std::vector<copying> open;
    copy_part(other, *this, open);
    while (!open.empty()) {
        const copying next = open.back();
        open.pop_back();
        copy_container(*next.from, *next.to, open);
    }
}

bool value::operator==(const value& other) const {
    std::vector<comparing> open;
    const value* a = this;
    const value* b = &other;
    for (;;) {
        if (a->held_.index() != b->held_.index() || !alike(*a, *b, open)) {
            return false;
        }
        if (open.empty()) {
            return true;
        }
        a = open.back().a;
        b = open.back().b;
        open.pop_back();
    }
}

const value& value::operator[](std::size_t index) const {
    const std::vector<value>& items = detail::items_of(*this);
    if (index >= items.size()) {
        throw std::out_of_range("item " + std::to_string(index) + " of a " + std::string(type_name()) +
                                " of " + std::to_string(items.size()));
    }
    return items[index];
}

const value& value::operator[](std::string_view key) const {
    for (const auto& [name, each] : detail::pairs_of(*this)) {
        const text* const known = name.get_if<text>();
        if (known != nullptr && (known->is_ascii() ? known->ascii() == key : known->str() == key)) {
            return each;
        }
    }
    throw std::out_of_range("no key '" + std::string(key) + "'");
}

std::size_t value::size() const {
    if (!has_parts()) {
        refuse("list, tuple or dict");
    }
    return parts_in(*this);
}

std::string_view value::type_name() const noexcept {
    constexpr std::array<std::string_view, std::variant_size_v<variant>> names = {
        "NoneType", "bool", "int", "float", "bytes", "str", "list", "tuple", "dict", "object", "object"};
    if (const handle* const end = get_if<handle>(); end != nullptr && *end != nullptr) {
        return (*end)->type_name();
    }
    return names[held_.index()];
}

void value::refuse(std::string_view expected) const {
    throw type_error(std::string(expected) + " expected, not " + std::string(type_name()));
}

} // namespace isthmus

/// The parts of conversions that don't depend on a type. Any thread, no GIL.
#include <isthmus/conversion.hpp>

namespace isthmus::detail {

void refuse_number() {
    throw type_error("an int that does not fit");
}

const std::vector<value>& items_of(const value& v) {
    if (const auto* const list = v.get_if<value::list>()) {
        return *list;
    }
    const auto* const tuple = v.get_if<value::tuple>();
    if (tuple == nullptr) {
        v.refuse("list or tuple");
    }
    return tuple->items;
}

const std::vector<value>& items_of(const value& v, std::size_t length) {
    const std::vector<value>& items = items_of(v);
    if (items.size() != length) {
        throw type_error(std::to_string(length) + " items expected, not " + std::to_string(items.size()));
    }
    return items;
}

const value::dict& pairs_of(const value& v) {
    const auto* const pairs = v.get_if<value::dict>();
    if (pairs == nullptr) {
        v.refuse("dict");
    }
    return *pairs;
}

} // namespace isthmus::detail

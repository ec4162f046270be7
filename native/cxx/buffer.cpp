/// The class of include/isthmus/buffer.hpp over the core's views. Any thread; see there.
#include <isthmus/buffer.hpp>

#include "cxx/shown_memory.hpp"

#include "core/memory.hpp"

#include <bit>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace isthmus {
namespace detail {
namespace {

/// Memory of the host's. Whoever refers to it last ends it where it is.
class host_loan final : public core::loan {
  public:
    explicit host_loan(std::shared_ptr<const void> keep) noexcept : loan(nullptr), keep_(std::move(keep)) {}

  private:
    bool is_home() const noexcept override { return false; }
    void give_back() override {}

    const std::shared_ptr<const void> keep_;
};

/// Throws std::invalid_argument.
std::size_t product(std::size_t a, std::size_t b) {
    std::size_t made = 0;
    if (__builtin_mul_overflow(a, b, &made) || made > std::numeric_limits<std::ptrdiff_t>::max()) {
        throw std::invalid_argument("buffer: the shape has more items than there is memory");
    }
    return made;
}

/// The sizes of all items, in bytes. Fills in the strides of C order.
std::size_t checked_size(buffer::geometry& lies, std::size_t item_size) {
    constexpr std::size_t most_dimensions = 64; // PyBUF_MAX_NDIM
    if (lies.shape.size() > most_dimensions) {
        throw std::invalid_argument("buffer: more than 64 dimensions");
    }
    if (!lies.strides.empty() && lies.strides.size() != lies.shape.size()) {
        throw std::invalid_argument("buffer: " + std::to_string(lies.shape.size()) + " dimensions and " +
                                    std::to_string(lies.strides.size()) + " strides");
    }
    const bool in_c_order = lies.strides.empty();
    lies.strides.resize(lies.shape.size());
    std::size_t size = item_size;
    for (std::size_t i = lies.shape.size(); i-- > 0;) {
        if (lies.shape[i] < 0 || lies.strides[i] < 0) {
            throw std::invalid_argument("buffer: a negative " +
                                        std::string(lies.shape[i] < 0 ? "extent" : "stride"));
        }
        if (in_c_order) {
            lies.strides[i] = static_cast<std::ptrdiff_t>(size);
        }
        size = product(size, static_cast<std::size_t>(lies.shape[i]));
    }
    return size;
}

/// Precondition: checked_size() has passed them.
bool lies_within(const buffer::geometry& lies, std::size_t item_size, std::size_t room) {
    std::size_t reached = item_size;
    for (std::size_t i = 0; i < lies.shape.size(); ++i) {
        if (lies.shape[i] == 0) {
            return true; // no item at all
        }
        const std::size_t last =
            product(static_cast<std::size_t>(lies.shape[i] - 1), static_cast<std::size_t>(lies.strides[i]));
        if (__builtin_add_overflow(reached, last, &reached)) {
            return false;
        }
    }
    return reached <= room;
}

/// Whether two formats say the same of an item: of native order, and the same kind of number if both are
/// numbers. Their sizes are compared elsewhere.
bool same_items(std::string_view a, std::string_view b) noexcept {
    const auto plain = [](std::string_view format) {
        constexpr std::string_view native = std::endian::native == std::endian::little ? "@=<" : "@=>!";
        if (!format.empty() && native.find(format.front()) != std::string_view::npos) {
            format.remove_prefix(1);
        }
        return format;
    };
    const auto kind = [](std::string_view format) {
        constexpr std::string_view kinds[] = {"bhilqn", "BHILQNPc", "fde", "?"};
        for (const std::string_view& each : kinds) {
            if (format.size() == 1 && each.find(format.front()) != std::string_view::npos) {
                return &each - std::begin(kinds);
            }
        }
        return std::ptrdiff_t{-1};
    };
    a = plain(a);
    b = plain(b);
    return a == b || (kind(a) >= 0 && kind(a) == kind(b));
}

} // namespace

std::unique_ptr<core::attachment> shown_memory::pack() const {
    return std::make_unique<core::travelling_view>(what_);
}

std::string_view shown_memory::type_name() const noexcept {
    return "memoryview";
}

bool shown_memory::same(const handle& other) const noexcept {
    const auto* const shown = dynamic_cast<const shown_memory*>(&other);
    return shown != nullptr && shown->what_.of.get() == what_.of.get() && shown->layout() == layout();
}

} // namespace detail

buffer::buffer(std::span<const std::byte> memory, std::size_t item_size, const char* format, bool read_only,
               geometry lies, std::shared_ptr<const void> keep) {
    const std::size_t size = detail::checked_size(lies, item_size);
    if (!detail::lies_within(lies, item_size, memory.size())) {
        throw std::invalid_argument("buffer: its shape reaches beyond " + std::to_string(memory.size()) +
                                    " bytes");
    }
    core::buffer_layout layout;
    layout.data = const_cast<std::byte*>(memory.data()); // nobody writes to what is read-only
    layout.length = static_cast<std::ptrdiff_t>(size);
    layout.item_size = static_cast<std::ptrdiff_t>(item_size);
    layout.dimensions = static_cast<int>(lies.shape.size());
    layout.read_only = read_only;
    layout.extents = std::move(lies.shape);
    layout.extents.insert(layout.extents.end(), lies.strides.begin(), lies.strides.end());
    layout.format = format;
    auto loan = core::loan_ref::begin(std::make_unique<detail::host_loan>(std::move(keep)));
    held_ = std::make_shared<const detail::shown_memory>(core::view{std::move(layout), std::move(loan)});
}

const std::byte* buffer::data() const noexcept {
    return held_->layout().data;
}

std::size_t buffer::size() const noexcept {
    return static_cast<std::size_t>(held_->layout().length);
}

std::size_t buffer::item_size() const noexcept {
    return static_cast<std::size_t>(held_->layout().item_size);
}

std::string_view buffer::format() const noexcept {
    return held_->layout().format;
}

std::span<const std::ptrdiff_t> buffer::shape() const noexcept {
    return std::span(held_->layout().extents).first(static_cast<std::size_t>(held_->layout().dimensions));
}

std::span<const std::ptrdiff_t> buffer::strides() const noexcept {
    return std::span(held_->layout().extents).last(static_cast<std::size_t>(held_->layout().dimensions));
}

bool buffer::read_only() const noexcept {
    return held_->layout().read_only;
}

bool buffer::contiguous() const noexcept {
    auto step = static_cast<std::ptrdiff_t>(item_size());
    for (std::size_t i = shape().size(); i-- > 0;) {
        if (shape()[i] != 1 && strides()[i] != step) {
            return size() == 0;
        }
        step *= shape()[i];
    }
    return true;
}

bool buffer::same_memory(const buffer& other) const noexcept {
    return size() != 0 && other.size() != 0 &&
           core::memory().canonical(data()) == core::memory().canonical(other.data());
}

std::byte* buffer::checked(const char* format, std::size_t size, std::size_t alignment, bool writable) const {
    const core::buffer_layout& is = held_->layout();
    if (format != nullptr && (size != item_size() || !detail::same_items(is.format, format))) {
        throw type_error("a buffer of items '" + std::string(format) + "' of " + std::to_string(size) +
                         " bytes expected, not '" + is.format + "' of " + std::to_string(item_size()));
    }
    if (!contiguous()) {
        throw type_error("the buffer is not contiguous");
    }
    if (reinterpret_cast<std::uintptr_t>(is.data) % alignment != 0) {
        throw type_error("the buffer is not aligned");
    }
    if (writable && is.read_only) {
        throw type_error("the buffer is read-only");
    }
    return is.data;
}

value conversion<buffer>::to(const buffer& v) {
    return value::of(value::handle(v.held_));
}

buffer conversion<buffer>::from(const value& v) {
    return buffer(detail::handle_in<detail::shown_memory>(v, "memoryview"));
}

} // namespace isthmus

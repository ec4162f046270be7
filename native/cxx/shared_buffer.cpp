/// The class of include/isthmus/shared_buffer.hpp over the core's blocks. Any thread; see there.
#include <isthmus/shared_buffer.hpp>

#include "cxx/blocking.hpp"
#include "cxx/memory_block.hpp"

#include "core/atomic_cell.hpp"

#include <stdexcept>
#include <string>

namespace isthmus {
namespace detail {

std::unique_ptr<core::attachment> memory_block::pack() const {
    return std::make_unique<core::travelling_memory>(what_, '\0');
}

std::string_view memory_block::type_name() const noexcept {
    return "SharedBuffer";
}

bool memory_block::same(const handle& other) const noexcept {
    const auto* const block = dynamic_cast<const memory_block*>(&other);
    return block != nullptr && block->what_ == what_;
}

namespace {

core::atomic_cell cell_at(const memory_block& block, std::size_t index, std::size_t item_size) {
    const std::size_t count = block.memory().size() / item_size;
    if (index >= count) {
        throw std::out_of_range("item " + std::to_string(index) + " of a shared_buffer of " +
                                std::to_string(count));
    }
    return {block.memory().data() + index * item_size, item_size};
}

} // namespace
} // namespace detail

shared_buffer::shared_buffer(std::size_t size)
    : held_(std::make_shared<const detail::memory_block>(core::shared_memory::create(size))) {}

std::byte* shared_buffer::data() const noexcept {
    return held_->memory().data();
}

std::size_t shared_buffer::size() const noexcept {
    return held_->memory().size();
}

bool shared_buffer::operator==(const shared_buffer& other) const noexcept {
    return held_ == other.held_ || (held_ && other.held_ && held_->same(*other.held_));
}

bool shared_buffer::wait_at(std::size_t index, std::size_t item_size, std::uint64_t expected,
                            patience timeout) const {
    if (item_size == sizeof(std::uint32_t)) {
        expected = static_cast<std::uint32_t>(expected); // a negative one was widened
    }
    const core::atomic_cell cell = detail::cell_at(*held_, index, item_size);
    return detail::attempt_or_wait(
               timeout,
               [&] { return cell.load() != expected ? core::outcome::ok : core::outcome::would_block; },
               [&](core::futex::deadline until, core::wait_site& site) {
                   const core::outcome how = cell.wait(expected, detail::host_party(), until, site);
                   // Then it was something else in the end, or somebody's notify.
                   return how == core::outcome::would_block ? core::outcome::ok : how;
               }) == core::outcome::ok;
}

std::size_t shared_buffer::notify_at(std::size_t index, std::size_t item_size, std::size_t count) const {
    return detail::cell_at(*held_, index, item_size).notify(count);
}

value conversion<shared_buffer>::to(const shared_buffer& v) {
    return value::of(value::handle(v.held_));
}

shared_buffer conversion<shared_buffer>::from(const value& v) {
    return shared_buffer(detail::handle_in<detail::memory_block>(v, "SharedBuffer"));
}

} // namespace isthmus

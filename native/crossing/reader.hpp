/// Reads values out of a parcel. The parcel was written in this process, so its data is trusted to be well
/// formed; counts are still checked against what is there, so that a fault elsewhere shows as an error and
/// not as a wild read.
#pragma once

#include "crossing/kinds.hpp"

#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

#include <cstring>
#include <type_traits>

namespace isthmus::crossing {

class reader {
  public:
    reader(core::interpreter& to, core::parcel& from) noexcept : to_(to), from_(from) {}

    /// The next value. Throws python_error, std::bad_alloc.
    [[nodiscard]] py::ref read();

  private:
    template <typename Number> Number number() {
        static_assert(std::is_arithmetic_v<Number>);
        Number n{};
        std::memcpy(&n, take(sizeof n), sizeof n);
        return n;
    }
    const std::byte* take(std::size_t size);
    py::ref read_big();
    py::ref read_text();
    py::ref read_tuple();
    py::ref read_pickle();
    py::ref read_list(std::uint64_t count);
    py::ref read_buffers(std::uint64_t count);
    py::ref next_share();
    py::ref next_handle();

    core::interpreter& to_;
    core::parcel& from_;
    std::size_t at_ = 0;
    std::size_t shares_taken_ = 0;
    std::size_t attachments_taken_ = 0;
};

} // namespace isthmus::crossing

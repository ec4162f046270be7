/// What `isthmus::shared_buffer` holds.
///
/// Any thread, no GIL.
#pragma once

#include "cxx/codec.hpp"

#include "core/shared_memory.hpp"

#include <memory>

namespace isthmus::detail {

class memory_block final : public handle {
  public:
    explicit memory_block(std::shared_ptr<core::shared_memory> what) noexcept : what_(std::move(what)) {}

    [[nodiscard]] core::shared_memory& memory() const noexcept { return *what_; }

    [[nodiscard]] std::unique_ptr<core::attachment> pack() const override;
    [[nodiscard]] std::string_view type_name() const noexcept override;
    [[nodiscard]] bool same(const handle& other) const noexcept override;

  private:
    const std::shared_ptr<core::shared_memory> what_;
};

} // namespace isthmus::detail

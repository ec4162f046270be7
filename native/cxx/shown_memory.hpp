/// What `isthmus::buffer` holds: a view, as it came or as the host made it.
///
/// Any thread, no GIL.
#pragma once

#include "cxx/codec.hpp"

#include "core/view.hpp"

#include <memory>

namespace isthmus::detail {

class shown_memory final : public handle {
  public:
    explicit shown_memory(core::view what) noexcept : what_(std::move(what)) {}
    /// Where Python runs in the exporter's interpreter on this thread, the exporter is released here.
    ~shown_memory() override { what_.of.reset_here(); }

    [[nodiscard]] const core::buffer_layout& layout() const noexcept { return what_.layout; }

    [[nodiscard]] std::unique_ptr<core::attachment> pack() const override;
    [[nodiscard]] std::string_view type_name() const noexcept override;
    [[nodiscard]] bool same(const handle& other) const noexcept override;

  private:
    core::view what_;
};

} // namespace isthmus::detail

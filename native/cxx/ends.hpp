/// The ends that C++ objects of the interface share: one holder of the host's in the channel or queue for
/// each object here, as for each Python object in its interpreter. Its destructor gives it back.
///
/// Any thread, no GIL.
#pragma once

#include "cxx/blocking.hpp"
#include "cxx/codec.hpp"

#include "core/channel.hpp"
#include "core/death_notice.hpp"
#include "core/queue.hpp"

#include <memory>
#include <string>

namespace isthmus::detail {

class channel_end final : public handle {
  public:
    /// Throws std::bad_alloc.
    channel_end(std::shared_ptr<core::channel> of, core::end which);
    ~channel_end() override;

    [[nodiscard]] core::channel& of() const noexcept { return *of_; }
    [[nodiscard]] core::end which() const noexcept { return which_; }

    [[nodiscard]] std::unique_ptr<core::attachment> pack() const override;
    [[nodiscard]] std::string_view type_name() const noexcept override;
    [[nodiscard]] bool same(const handle& other) const noexcept override;

  private:
    const std::shared_ptr<core::channel> of_;
    const core::end which_;
};

class queue_end final : public handle {
  public:
    /// Throws std::bad_alloc.
    explicit queue_end(std::shared_ptr<core::queue> of);
    ~queue_end() override;

    [[nodiscard]] core::queue& of() const noexcept { return *of_; }

    [[nodiscard]] std::unique_ptr<core::attachment> pack() const override;
    [[nodiscard]] std::string_view type_name() const noexcept override;
    [[nodiscard]] bool same(const handle& other) const noexcept override;

  private:
    const std::shared_ptr<core::queue> of_;
};

class notice_end final : public handle {
  public:
    /// Throws std::bad_alloc.
    explicit notice_end(std::shared_ptr<core::death_notice> of);
    ~notice_end() override;

    [[nodiscard]] core::death_notice& of() const noexcept { return *of_; }

    [[nodiscard]] std::unique_ptr<core::attachment> pack() const override;
    [[nodiscard]] std::string_view type_name() const noexcept override;
    [[nodiscard]] bool same(const handle& other) const noexcept override;

  private:
    const std::shared_ptr<core::death_notice> of_;
};

/// What the exceptions of the interface say of it. `how` is not ok.
[[noreturn]] void throw_outcome(core::outcome how, core::channel& of);
[[noreturn]] void throw_queue_outcome(core::outcome how, core::end which, core::queue& of);

/// The value of what was taken out of a queue. Throws interpreter_error for an item that is gone.
[[nodiscard]] value taken_out(const core::queue& of, core::message m);

/// How a reason for poison lies in the core, where Python's exceptions lie as well (`_poison.py`).
[[nodiscard]] std::string pack_reason(std::string_view reason);
[[nodiscard]] std::string unpack_reason(const std::string& packed);

} // namespace isthmus::detail

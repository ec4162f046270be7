/// The first reading of a parcel: whether all of it is something that C++ knows, and well formed. Nothing is
/// taken from it, so that it can stay what it is.
///
/// Belongs to one thread; the parcel outlives it. Nothing recurses.
#pragma once

#include "cxx/scanner.hpp"

#include "core/message.hpp"

#include <vector>

namespace isthmus::detail {

class survey {
  public:
    explicit survey(const core::parcel& of) noexcept : from_(of), tokens_(of.data) {}

    /// Whether it can become a value.
    [[nodiscard]] bool readable();

    /// By number: whether it is met again.
    [[nodiscard]] std::vector<bool> met_again() const;

  private:
    /// Of a value.
    struct facts {
        std::uint64_t parts = 1; ///< values that it is made of, itself included; 0: not whole yet
        std::size_t height = 0;  ///< levels
        bool may_change = false; ///< it is, or has in it, a list or a dict: nothing for a key
    };
    struct known {
        facts of;
        bool met_again = false;
    };
    struct frame {
        std::uint64_t left; ///< parts to come; of a pair there are two
        bool pairs;
        bool late; ///< it gets its number once it is whole
        bool remember;
        std::size_t number; ///< in known_, if it is remembered early
        facts of;
    };

    /// False: not readable.
    [[nodiscard]] bool take();

    [[nodiscard]] static bool knows(const core::attachment* travelling) noexcept;
    [[nodiscard]] bool leaf();
    [[nodiscard]] bool open();
    [[nodiscard]] bool again();

    /// The top frame gets a part; if that makes it whole, so does the one below, and so on.
    [[nodiscard]] bool deliver(facts part);
    /// Takes off the top frame, which is whole.
    [[nodiscard]] facts finish();

    const core::parcel& from_;
    scanner tokens_;
    token now_;
    std::size_t shares_ = 0;
    std::size_t attachments_ = 0;
    std::uint64_t copied_ = 0;
    std::vector<frame> frames_;
    std::vector<known> known_;
};

} // namespace isthmus::detail

/// Views: memory that an exporter in one interpreter owns and others look at (design section 2, "view").
///
/// A `loan` is the exporter's side: it holds the exporter's buffer, in the interpreter that owns it, for as
/// long as anybody refers to the loan. A `view` is what travels and what a receiver keeps: a reference to the
/// loan and a layout of its own, since a slice or a cast of a view is another layout over the same loan.
///
/// Invariants:
/// - A loan is given back exactly once, in its owner and under its GIL: by the errand that its last reference
///   posts, or at once if that reference ends there. Unless its owner stopped taking errands before: then it
///   is an orphan (counted), its exporter is left as it is, and its memory stays.
/// - Memory of the arena is pinned by a share of its slot, and seen through a master mapping, so it outlives
///   the owner's window; all other memory lives because the exporter is never released.
///
/// Thread rules: references may be added, moved and dropped on any thread, with or without a GIL; that takes
/// no lock and allocates nothing.
#pragma once

#include "core/errand.hpp"
#include "core/registry.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace isthmus::core {

/// How a buffer lies in memory, as PEP 3118 says it. Owns all but the data.
struct buffer_layout {
    std::byte* data = nullptr;
    std::ptrdiff_t length = 0; ///< in bytes, of all items
    std::ptrdiff_t item_size = 1;
    int dimensions = 1;
    bool read_only = true;
    bool indirect = false;               ///< there are suboffsets
    std::vector<std::ptrdiff_t> extents; ///< shape, strides, and suboffsets if indirect: `dimensions` each
    std::string format;
};

class loan : public errand {
  public:
    virtual ~loan();

    [[nodiscard]] const interpreter_ref& owner() const noexcept { return owner_; }

  protected:
    explicit loan(interpreter_ref owner) noexcept : owner_(std::move(owner)) {}
    /// Releases the exporter's buffer. In the owner, under its GIL, once; user code may run. Otherwise the
    /// destructor alone runs, anywhere: it must leave the exporter alone.
    virtual void give_back() = 0;

  private:
    friend class loan_ref;
    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void drop_reference() noexcept;
    void drop_reference_at_home();
    void run() final;
    void abandon() noexcept final;

    const interpreter_ref owner_;
    std::atomic<std::uint64_t> references_{1};
};

/// One reference to a loan, or none.
class loan_ref {
  public:
    loan_ref() noexcept = default;
    /// The first reference: from here on the loan ends by itself. In the owner, under its GIL.
    [[nodiscard]] static loan_ref begin(std::unique_ptr<loan> ready) noexcept;
    loan_ref(const loan_ref& other) noexcept : loan_(other.loan_) {
        if (loan_ != nullptr) {
            loan_->add_reference();
        }
    }
    loan_ref(loan_ref&& other) noexcept : loan_(std::exchange(other.loan_, nullptr)) {}
    loan_ref& operator=(loan_ref other) noexcept {
        std::swap(loan_, other.loan_);
        return *this;
    }
    ~loan_ref() { reset(); }

    void reset() noexcept {
        if (loan_ != nullptr) {
            std::exchange(loan_, nullptr)->drop_reference();
        }
    }
    /// The same in the owner, under its GIL: if it was the last one, the buffer is released before this
    /// returns, and user code may run.
    void reset_at_home() {
        if (loan_ != nullptr) {
            std::exchange(loan_, nullptr)->drop_reference_at_home();
        }
    }
    [[nodiscard]] loan* get() const noexcept { return loan_; }
    loan* operator->() const noexcept { return loan_; }
    explicit operator bool() const noexcept { return loan_ != nullptr; }

  private:
    explicit loan_ref(loan* counted) noexcept : loan_(counted) {}
    loan* loan_ = nullptr;
};

struct view {
    buffer_layout layout;
    loan_ref of;
};

/// A view in the interpreter that received it. The interpreter's record lists it, because an interpreter may
/// end without freeing its objects; what is left then ends with the record's `gone`.
class received_view {
  public:
    /// May throw std::bad_alloc. Under the GIL of `by`, like the destructor (or once `by` is gone).
    received_view(interpreter_ref by, view what);
    received_view(const received_view&) = delete;
    received_view& operator=(const received_view&) = delete;
    ~received_view();

    [[nodiscard]] const buffer_layout& layout() const noexcept { return what_.layout; }
    [[nodiscard]] loan_ref& of() noexcept { return what_.of; }
    [[nodiscard]] const interpreter_ref& by() const noexcept { return by_; }

    /// Drops what `gone` still holds. Not if it left orphans: their exporters, which are never released, may
    /// show memory of these views.
    static void drop_all(interpreter& gone) noexcept;

  private:
    const interpreter_ref by_;
    view what_;
    received_view* next_ = nullptr;
    received_view* previous_ = nullptr;
};

} // namespace isthmus::core

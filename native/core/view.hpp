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
/// - A C++ host's loan has no owner: it is given back where its last reference ends, whichever thread that
/// is.
/// - Memory of the arena is pinned by a share of its slot, and seen through a master mapping, so it outlives
///   the owner's window; all other memory lives because the exporter is never released.
/// - What an interpreter received ends with it at the latest, except for views whose memory an orphan of its
///   shows: an exporter it left behind may rest on them. These end with the last such orphan.
///
/// Thread rules: references may be added, moved and dropped on any thread, with or without a GIL. That
/// allocates nothing, and posting takes no lock; where nothing can be posted, a leaf is taken.
#pragma once

#include "core/errand.hpp"
#include "core/message.hpp"
#include "core/registry.hpp"

#include <algorithm>
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
    int dimensions = 0;
    bool read_only = true;
    bool indirect = false;               ///< there are suboffsets
    std::vector<std::ptrdiff_t> extents; ///< shape, strides, and suboffsets if indirect: `dimensions` each
    std::string format;

    [[nodiscard]] bool operator==(const buffer_layout&) const = default;
};

/// From the first to past the last byte that a layout reaches.
struct memory_range {
    std::uintptr_t low = 0;
    std::uintptr_t high = 0;

    [[nodiscard]] static memory_range of(const buffer_layout& layout) noexcept;
    [[nodiscard]] bool overlaps(const memory_range& other) const noexcept {
        return std::max(low, other.low) < std::min(high, other.high); // an empty one overlaps none
    }
};

class loan : public errand {
  public:
    virtual ~loan();

    /// Null: the host.
    [[nodiscard]] const interpreter_ref& owner() const noexcept { return owner_; }

  protected:
    explicit loan(interpreter_ref owner) noexcept : owner_(std::move(owner)) {}
    /// What its views may show. Before it begins.
    void covers(memory_range shown) noexcept { shown_ = shown; }
    /// Whether the calling thread runs in the owner, under its GIL.
    [[nodiscard]] virtual bool is_home() const noexcept = 0;
    /// Releases the exporter's buffer. In the owner, under its GIL, once; user code may run. Otherwise the
    /// destructor alone runs, anywhere: it must leave the exporter alone. Never for a loan of the host's,
    /// whose destructor gives it back.
    virtual void give_back() = 0;

  private:
    friend class loan_ref;
    friend class received_view;
    void list() noexcept;
    void end() noexcept;
    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void drop_reference() noexcept;
    void drop_reference_here();
    void run() final;
    void abandon() noexcept final;

    const interpreter_ref owner_;
    std::atomic<std::uint64_t> references_{1};
    memory_range shown_;
    loan* next_ = nullptr; ///< in the owner's list
    loan* previous_ = nullptr;
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
    /// The same, where user code may run: if it was the last one, and this is the owner, under its GIL, the
    /// exporter has its buffer back before this returns, as from a memoryview.
    void reset_here() {
        if (loan_ != nullptr) {
            std::exchange(loan_, nullptr)->drop_reference_here();
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

/// A view inside a message.
struct travelling_view final : attachment {
    explicit travelling_view(view v) noexcept : what(std::move(v)) {}
    ~travelling_view() override { what.of.reset_here(); }
    [[nodiscard]] std::unique_ptr<attachment> again() const override {
        return std::make_unique<travelling_view>(what);
    }
    view what;
};

/// A view in the interpreter that received it. The interpreter's record lists it, because an interpreter may
/// end without freeing its objects.
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

    /// `gone` frees nothing any more: drops what it holds, except for what its orphans may show. Once.
    static void settle(interpreter& gone) noexcept;

  private:
    friend class loan;
    [[nodiscard]] bool is_shown_by_orphans() const noexcept;
    [[nodiscard]] static received_view* take_unneeded(interpreter& gone) noexcept;
    static void drop(received_view* taken) noexcept;

    const interpreter_ref by_;
    view what_;
    received_view* next_ = nullptr;
    received_view* previous_ = nullptr;
    bool listed_ = true;
};

} // namespace isthmus::core

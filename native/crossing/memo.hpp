/// Which objects of a value were met already, by identity.
#pragma once

#include "cpython/refs.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace isthmus::crossing {

/// Open addressing; nothing is allocated before the first object. Holds a reference on each object, so that
/// no other one gets its address meanwhile. Under one interpreter's GIL.
class memo {
  public:
    memo() noexcept = default;
    memo(const memo&) = delete;
    memo& operator=(const memo&) = delete;
    ~memo() { clear(); }

    /// What is known of `o`, or null; valid until the next `add`.
    [[nodiscard]] std::uint32_t* find(PyObject* o) noexcept {
        if (used_ == 0) {
            return nullptr;
        }
        const entry& e = places_[place_of(o)];
        return e.object == o ? const_cast<std::uint32_t*>(&e.number) : nullptr;
    }
    /// Precondition: not in it. Throws std::bad_alloc.
    void add(PyObject* o, std::uint32_t number) {
        if (used_ >= room_ - room_ / 4) { // also when there is no room at all
            grow();
        }
        places_[place_of(o)] = {Py_NewRef(o), number};
        ++used_;
    }
    /// May run any code: objects may die.
    void clear() noexcept {
        const std::unique_ptr<entry[]> old = std::move(places_);
        for (std::size_t i = 0; i < room_; ++i) {
            Py_XDECREF(old[i].object);
        }
        used_ = room_ = 0;
    }

  private:
    struct entry {
        PyObject* object = nullptr;
        std::uint32_t number = 0;
    };

    /// Where `o` is, or would be put.
    [[nodiscard]] std::size_t place_of(PyObject* o) const noexcept {
        const std::uint64_t mixed = (reinterpret_cast<std::uintptr_t>(o) >> 4) * 0x9E3779B97F4A7C15U;
        std::size_t at = (mixed >> 32) & (room_ - 1);
        while (places_[at].object != nullptr && places_[at].object != o) {
            at = (at + 1) & (room_ - 1);
        }
        return at;
    }
    void grow() {
        const std::size_t before = room_;
        auto larger = std::make_unique<entry[]>(before == 0 ? 32 : before * 4);
        std::swap(places_, larger);
        room_ = before == 0 ? 32 : before * 4;
        for (std::size_t i = 0; i < before; ++i) {
            if (larger[i].object != nullptr) {
                places_[place_of(larger[i].object)] = larger[i];
            }
        }
    }

    std::unique_ptr<entry[]> places_;
    std::size_t room_ = 0; ///< a power of two, or 0
    std::size_t used_ = 0;
};

} // namespace isthmus::crossing

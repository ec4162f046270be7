/// Writes values into a parcel, native kinds only.
#pragma once

#include "crossing/kinds.hpp"

#include "cpython/refs.hpp"

#include "core/message.hpp"
#include "core/registry.hpp"

#include <cstring>
#include <type_traits>

namespace isthmus::crossing {

class writer {
  public:
    writer(core::interpreter& from, core::parcel& into) noexcept : from_(from), into_(into) {}

    /// True: written. False: `o`, or something in it, has no native kind; the parcel is then partly written
    /// and of no use. Throws python_error, std::bad_alloc.
    [[nodiscard]] bool write(PyObject* o);

    void put(tag t) { put_number(static_cast<std::uint8_t>(t)); }
    template <typename Number> void put_number(Number n) {
        static_assert(std::is_arithmetic_v<Number>);
        put_bytes(&n, sizeof n);
    }
    void put_bytes(const void* data, std::size_t size) {
        const auto* first = static_cast<const std::byte*>(data);
        into_.data.insert(into_.data.end(), first, first + size);
    }

  private:
    void write_integer(PyObject* o);
    bool write_payload(PyObject* o);
    bool write_tuple(PyObject* o);
    bool write_handle(PyObject* o);
    bool write_view(PyObject* o);
    void write_attachment(std::unique_ptr<core::attachment> travelling);

    core::interpreter& from_;
    core::parcel& into_;
};

} // namespace isthmus::crossing

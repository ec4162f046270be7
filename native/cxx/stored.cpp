#include "cxx/stored.hpp"

#include "cxx/host_memory.hpp"

#include "core/memory.hpp"
#include "core/stats.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace isthmus::detail {
namespace {

/// Larger than this is no size of anything, and smaller ones can be added up.
constexpr std::size_t most = PTRDIFF_MAX / 2;

std::unique_ptr<payload> on_heap(core::form form, std::size_t data_size) {
    std::unique_ptr<payload> made(new (payload::room{data_size}) payload);
    made->form = form;
    made->data = reinterpret_cast<std::byte*>(made.get() + 1);
    return made;
}

void put_terminator(payload& in, std::size_t length) noexcept {
    const std::size_t item = core::character_size(in.form);
    std::memset(in.data + length * item, 0, item);
}

/// The data of what lies in `s`, while the caller has a share of it.
std::unique_ptr<payload> copy_of(const core::slot& s) {
    const core::form form{s.record.form};
    const std::size_t header = core::header_size(form);
    const std::size_t size = core::data_size(form, s.record.length);
    std::unique_ptr<payload> made = on_heap(form, size);
    const std::size_t inlined = std::min(size, core::header_room - header);
    std::memcpy(made->data, s.record.head.data() + header, inlined);
    std::memcpy(made->data + inlined, core::memory().payload(s), size - inlined);
    core::statistics::add(core::counter::payload_bytes_copied, s.bytes.load(std::memory_order_relaxed));
    core::statistics::add(core::counter::fallback_copies);
    return made;
}

} // namespace

void* payload::operator new(std::size_t size, room extra) {
    return ::operator new(size + extra.behind);
}

void payload::operator delete(void* at) noexcept {
    ::operator delete(at);
}

void payload::operator delete(void* at, room) noexcept {
    ::operator delete(at);
}

payload::~payload() {
    switch (where) {
    case place::heap:
        break;
    case place::block:
        host().release(data - core::header_size(form));
        break;
    case place::own:
        core::drop_share(*in);
        break;
    case place::twin:
        host().leave_twin(*in);
        break;
    }
}

core::share payload::share_out() const noexcept {
    if (where == place::heap) {
        return {};
    }
    core::add_share(*in); // a share is held, here or by the twin
    return core::share(in);
}

std::unique_ptr<payload> reserve(core::form form, std::size_t length) {
    const std::size_t item = core::character_size(form);
    if (length > most / item) {
        throw std::bad_alloc();
    }
    const std::size_t data_size = core::data_size(form, static_cast<std::int64_t>(length));
    const std::size_t block = core::header_size(form) + data_size;
    // Without a look at the options: what small data alone needs starts no runtime.
    if (block < core::least_threshold || block < host().threshold()) {
        return on_heap(form, data_size);
    }
    std::unique_ptr<payload> made(new (payload::room{0}) payload);
    std::byte* const object = host().allocate(block);
    if (object == nullptr) {
        return on_heap(form, data_size);
    }
    made->form = form;
    made->where = payload::place::block;
    made->data = object + core::header_size(form);
    return made;
}

std::shared_ptr<const payload> publish(std::unique_ptr<payload>& filled, std::size_t length) {
    const core::form form = filled->form;
    const auto items = static_cast<std::int64_t>(length);
    const std::size_t data_size = core::data_size(form, items);
    put_terminator(*filled, length);
    if (filled->where == payload::place::block && core::header_size(form) + data_size < host().threshold()) {
        std::unique_ptr<payload> smaller = on_heap(form, data_size);
        std::memcpy(smaller->data, filled->data, data_size);
        std::shared_ptr<const payload> result(std::move(smaller));
        core::statistics::add(core::counter::payload_bytes_copied, data_size);
        filled.reset();
        return result;
    }
    payload& made = *filled;
    std::shared_ptr<const payload> result(std::move(filled));
    if (made.where == payload::place::block) {
        made.in = host().publish(made.data - core::header_size(form), form, items).release();
        made.where = payload::place::own;
    }
    return result;
}

std::shared_ptr<const payload> receive(core::share held) {
    core::slot& s = *held.get();
    const bool own = host().owns(s);
    std::unique_ptr<payload> made(new (payload::room{0}) payload);
    if (!own && !host().show(held)) {
        return copy_of(s);
    }
    made->form = core::form{s.record.form};
    made->data = host().object_of(s) + core::header_size(made->form);
    made->in = &s;
    made->where = own ? payload::place::own : payload::place::twin;
    static_cast<void>(held.release());
    return made;
}

bool same_memory(const payload* a, const payload* b) noexcept {
    return a == b || (a != nullptr && b != nullptr && a->in != nullptr && a->in == b->in);
}

} // namespace isthmus::detail

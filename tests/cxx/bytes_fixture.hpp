/// What the tests of bytes and text share: gauges that every test leaves as it found them (invariant 10), and
/// interpreters in miniature (core/memory_fixture.hpp) that hold real layouts of `bytes` and `str`.
#pragma once

#include "core/memory_fixture.hpp"

#include <isthmus/bytes.hpp>

#include "cxx/payload.hpp"
#include "cxx/stored.hpp"

#include "core/forms.hpp"
#include "core/start.hpp"

#include <cstring>
#include <string>
#include <string_view>

namespace isthmus::test {

using core::counter;
using core::memory;
using core::slot;
using core::statistics;
using core::test::actor;
using core::test::dice;
using core::test::in_child;
using core::test::mebibyte;
using detail::access;

/// Data of that size, of which no two pages are alike.
inline std::string sample(std::size_t size, unsigned seed = 0) {
    std::string made(size, '\0');
    for (std::size_t at = 0; at < size; ++at) {
        made[at] = static_cast<char>((at * 7 + at / 509 + seed * 31) % 251);
    }
    return made;
}

/// The least payload of `bytes` that lies in shared memory: as for an interpreter, header and terminator
/// count.
inline std::size_t least_shared() {
    return memory().chosen().threshold - core::bytes_header - 1;
}

/// An object of an interpreter's with that data, as CPython lays it out; null: no room.
inline slot* make_object(actor& owner, core::form form, std::string_view data, std::int64_t length) {
    const std::size_t header = core::header_size(form);
    slot* const s = owner.make(header + core::data_size(form, length), 1);
    if (s != nullptr) {
        auto* const object = static_cast<std::byte*>(owner.base(*s));
        std::memset(object + header, 0, core::data_size(form, length));
        std::memcpy(object + header, data.data(), data.size());
        s->record.form = static_cast<std::uint8_t>(form);
        s->record.length = length;
        s->record.hash = -1;
        std::memcpy(s->record.head.data(), object, core::header_room);
    }
    return s;
}

inline slot* make_bytes(actor& owner, std::string_view data) {
    return make_object(owner, core::form::bytes, data, static_cast<std::int64_t>(data.size()));
}

/// A twin as an interpreter makes it: inline bytes from the record. Null: no room.
inline void* receive(actor& to, core::share held) {
    slot& s = *held.get();
    const bool fresh = s.owner_window.load() != to.view().index && !s.has_twin(to.view().index);
    void* const object = to.receive(std::move(held));
    if (object != nullptr && fresh) {
        const std::size_t header = core::header_size(core::form{s.record.form});
        std::memcpy(static_cast<std::byte*>(object) + header, s.record.head.data() + header,
                    core::header_room - header);
    }
    return object;
}

/// The data of an object, its terminator included, as an interpreter sees it.
inline std::string_view seen_at(const void* object) {
    const slot& s = *memory().find(object);
    const core::form form{s.record.form};
    return {static_cast<const char*>(object) + core::header_size(form),
            core::data_size(form, s.record.length)};
}

inline std::string terminated(std::string_view data, std::size_t terminator = 1) {
    return std::string(data) + std::string(terminator, '\0');
}

/// All that a test makes is to be gone when its body ends: nothing is left for a later drain.
class bytes_test : public testing::Test {
  protected:
    void SetUp() override {
        core::start();
        ASSERT_TRUE(memory().started()) << memory().space().why();
        before_ = balance();
        copies_ = statistics::read(counter::fallback_copies);
    }
    void TearDown() override {
        EXPECT_EQ(balance(), before_) << "slots, twins, shares, releases out of balance";
    }

    [[nodiscard]] std::uint64_t fallback_copies() const {
        return statistics::read(counter::fallback_copies) - copies_;
    }
    static std::uint64_t twins() { return statistics::gauge(counter::twins_made, counter::twins_dropped); }
    static std::uint64_t slots() { return statistics::gauge(counter::slots_made, counter::slots_freed); }
    static std::uint64_t shares() {
        return statistics::gauge(counter::shares_taken, counter::shares_dropped);
    }

    using differences = std::array<std::uint64_t, 4>;
    static differences balance() {
        const auto of = [](counter up, counter down) {
            return statistics::read(up) - statistics::read(down);
        };
        return {of(counter::slots_made, counter::slots_freed),
                of(counter::twins_made, counter::twins_dropped),
                of(counter::shares_taken, counter::shares_dropped),
                of(counter::releases_posted, counter::releases_run)};
    }

  private:
    differences before_{};
    std::uint64_t copies_ = 0;
};

} // namespace isthmus::test

/// What the channel tests share: numbered messages whose destruction is counted, and waiting without
/// sleeping.
#pragma once

#include "core/channel.hpp"

#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <thread>

namespace isthmus::core::test {

/// Far enough away that reaching it means a lost wake-up.
inline futex::deadline never_expected() {
    return futex::now() + 120'000'000'000;
}
inline futex::deadline in_microseconds(std::int64_t us) {
    return futex::now() + us * 1'000;
}

inline message numbered(std::uint64_t n) {
    std::byte bytes[sizeof n];
    std::memcpy(bytes, &n, sizeof n);
    return message(7, bytes);
}

inline std::uint64_t number_of(const message& m) {
    std::uint64_t n = 0;
    EXPECT_EQ(m.bytes().size(), sizeof n);
    std::memcpy(&n, m.bytes().data(), sizeof n);
    return n;
}

/// Counts its own life.
struct tracer : attachment {
    explicit tracer(std::atomic<int>& alive) : alive_(alive) { ++alive_; }
    ~tracer() override {
        EXPECT_EQ(held_locks::here(), 0U) << "invariant 8: what a message holds is destroyed under no lock";
        --alive_;
    }

  private:
    std::atomic<int>& alive_;
};

inline message traced(std::atomic<int>& alive) {
    auto body = std::make_unique<parcel>();
    body->attachments.push_back(std::make_unique<tracer>(alive));
    return message(9, std::move(body));
}

inline void wait_parked_receivers(const channel& c, std::uint32_t n) {
    while (c.parked_receivers() != n) {
        std::this_thread::yield();
    }
}

inline void wait_parked_senders(const channel& c, std::uint32_t n) {
    while (c.parked_senders() != n) {
        std::this_thread::yield();
    }
}

/// Three parties; `a` holds the send end and `b` the recv end of `c`.
class ends : public ::testing::Test {
  protected:
    ends() { open(0); }

    void open(std::optional<std::size_t> capacity) {
        c = channel::create(capacity);
        c->add_holder(end::send, *a);
        c->add_holder(end::recv, *b);
    }

    outcome send(party& by, std::uint64_t n, futex::deadline until = never_expected()) {
        message m = numbered(n);
        wait_site site;
        const outcome result = c->send(by, m, until, site);
        EXPECT_EQ(m.empty(), result == outcome::ok); // taken only if it was received or buffered
        return result;
    }
    outcome try_send(party& by, std::uint64_t n) {
        message m = numbered(n);
        const outcome result = c->try_send(by, m);
        EXPECT_EQ(m.empty(), result == outcome::ok);
        return result;
    }
    /// The number received, or the outcome that was not ok.
    struct received {
        outcome how;
        std::uint64_t number;
        bool operator==(const received&) const = default;
    };
    static received got(std::uint64_t n) { return {outcome::ok, n}; }
    static received ended(outcome how) { return {how, 0}; }

    received recv(party& by, futex::deadline until = never_expected()) {
        message m;
        wait_site site;
        const outcome result = c->recv(by, m, until, site);
        EXPECT_EQ(m.empty(), result != outcome::ok);
        return {result, result == outcome::ok ? number_of(m) : 0};
    }
    received try_recv(party& by) {
        message m;
        const outcome result = c->try_recv(by, m);
        EXPECT_EQ(m.empty(), result != outcome::ok);
        return {result, result == outcome::ok ? number_of(m) : 0};
    }

    std::shared_ptr<party> a = party::create();
    std::shared_ptr<party> b = party::create();
    std::shared_ptr<party> d = party::create();
    std::shared_ptr<channel> c;
};

} // namespace isthmus::core::test

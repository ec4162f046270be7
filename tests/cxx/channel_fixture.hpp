/// What the tests of channels from C++ share.
#pragma once

#include "balance.hpp"
#include "cxx/blocking.hpp"
#include "cxx/ends.hpp"
#include <atomic>
#include <isthmus/channel.hpp>
#include <poll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace isthmus::test {

using namespace std::chrono_literals;

constexpr patience no_wait = 0ns;
constexpr patience a_moment = 2ms;
constexpr patience never_over = 60s; ///< reaching it means a lost wake-up

class channels : public balanced {};

template <typename Condition> void until_so(Condition so) {
    while (!so()) {
        std::this_thread::yield();
    }
}

inline void until_receivers_wait(const channel_handle& c, std::uint32_t n) {
    until_so([&] { return c.statistics().waiting_receivers == n; });
}
inline void until_senders_wait(const channel_handle& c, std::uint32_t n) {
    until_so([&] { return c.statistics().waiting_senders == n; });
}

inline bool is_readable(int descriptor, int milliseconds = 0) {
    pollfd asked{descriptor, POLLIN, 0};
    return poll(&asked, 1, milliseconds) == 1;
}

/// Another interpreter, as far as a channel knows: a party that holds one end and has used it.
class somebody {
  public:
    somebody(std::uint64_t id, core::end which) : of_(core::channel::all().find(id)), which_(which) {
        of_->add_holder(which_, *me_);
    }
    somebody(const somebody&) = delete;
    somebody& operator=(const somebody&) = delete;
    ~somebody() { of_->drop_holder(which_, *me_); }

    core::outcome send(const value& v) {
        core::message m = detail::encode(v);
        core::wait_site site;
        return of_->send(*me_, m, std::nullopt, site);
    }
    core::outcome recv(value& into) {
        core::message m;
        core::wait_site site;
        const core::outcome how = of_->recv(*me_, m, std::nullopt, site);
        into = how == core::outcome::ok ? detail::decode(std::move(m)) : value();
        return how;
    }
    void close() { of_->close(which_, *me_); }
    void poison(std::string packed) {
        EXPECT_EQ(of_->poison(which_, *me_, std::move(packed)), core::outcome::ok);
    }
    void die() {
        me_->begin_close();
        core::party_died_everywhere(*me_);
    }

  private:
    std::shared_ptr<core::party> me_ = core::party::create();
    std::shared_ptr<core::channel> of_;
    core::end which_;
};

} // namespace isthmus::test

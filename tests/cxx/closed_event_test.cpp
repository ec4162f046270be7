/// Ends of interpreters as C++ threads see them; no Python: the notice is given by hand.
#include "channel_fixture.hpp"

#include "core/death_notice.hpp"
#include "cxx/payload.hpp"

#include <isthmus/closed_event.hpp>
#include <isthmus/select.hpp>

#include <thread>

namespace isthmus::test {
namespace {

class closed_events : public balanced {
  protected:
    const std::shared_ptr<core::death_notice> notice = core::death_notice::create();
    const closed_event event =
        detail::access::with_end<closed_event>(std::make_shared<const detail::notice_end>(notice));
};

TEST_F(closed_events, are_set_once_and_for_all) {
    EXPECT_FALSE(event.is_set());
    EXPECT_FALSE(event.wait(1ms));
    EXPECT_FALSE(event.wait(0ms));
    EXPECT_FALSE(is_readable(event.fileno()));
    notice->give();
    EXPECT_TRUE(event.is_set());
    EXPECT_TRUE(event.wait());
    EXPECT_TRUE(event.wait(0ms));
    EXPECT_TRUE(is_readable(event.fileno()));
}

TEST_F(closed_events, wake_those_who_wait_and_those_who_select) {
    auto [receiver, sender] = create_channel();
    std::thread waits([&] { EXPECT_TRUE(event.wait()); });
    std::thread selects([&, &r = receiver] {
        const selected done = select({r, event});
        EXPECT_EQ(done.index, 1U);
        EXPECT_TRUE(done.received.is_none());
    });
    until_receivers_wait(receiver, 1); // so it has parked, or is about to, at the notice as well
    notice->give();
    waits.join();
    selects.join();
    EXPECT_EQ(select({receiver, event}, 0ms).index, 1U);
}

TEST_F(closed_events, cross) {
    const value sent(event);
    EXPECT_EQ(sent.type_name(), "ClosedEvent");
    const auto arrived = detail::decode(detail::encode(std::vector{sent, sent}));
    EXPECT_EQ(arrived[1].as<closed_event>(), event);
    EXPECT_EQ(arrived[0], sent);
    const auto other = detail::access::with_end<closed_event>(
        std::make_shared<const detail::notice_end>(core::death_notice::create()));
    EXPECT_NE(value(other), sent);
    EXPECT_THROW(static_cast<void>(value(1).as<closed_event>()), type_error);
}

TEST_F(closed_events, of_a_channel_there_is_none) {
    auto [receiver, sender] = create_channel();
    EXPECT_THROW(static_cast<void>(value(receiver).as<closed_event>()), type_error);
    EXPECT_THROW(static_cast<void>(value(event).as<recv_channel>()), type_error);
}

} // namespace
} // namespace isthmus::test

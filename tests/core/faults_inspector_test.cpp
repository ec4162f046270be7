/// Every allocation and system call fails once while the inspector begins to listen.
#include "faults.hpp"
#include "inspector_fixture.hpp"

namespace isthmus::core::test {
namespace {

using faults::exhaust;

class every_call_of : public inspectors {
  protected:
    void SetUp() override { started_memory(); }
};

TEST_F(every_call_of, a_meeting_place) {
    const std::size_t calls = exhaust([&] {
        meeting_place made;
        try {
            made = meeting_place::open();
        } catch (...) {
            const faults::undisturbed own;
            EXPECT_EQ(files(), 0U);
            throw;
        }
        made.vanish(); // without memory it may stay: the next one there takes its name
        made.listener.close();
    });
    EXPECT_GT(calls, 10U);
    EXPECT_EQ(files(), 0U);
}

TEST_F(every_call_of, an_inspector) {
    const std::size_t calls = exhaust([] {
        std::string path;
        try {
            path = the_inspector().start();
        } catch (...) {
            const faults::undisturbed own;
            the_inspector().stop();
            throw;
        }
        const faults::undisturbed own;
        EXPECT_TRUE(is_snapshot(ask(path)));
        the_inspector().stop();
    });
    EXPECT_GT(calls, 10U);
    EXPECT_EQ(files(), 0U);
}

} // namespace
} // namespace isthmus::core::test

/// Every allocation and system call fails once in what is built on interpreters: their end, posted calls,
/// a look at all of it.
#include "faults.hpp"

#include "channel_fixture.hpp"
#include "inspector_fixture.hpp"

#include "core/death_notice.hpp"
#include "core/posted_call.hpp"
#include "core/queue.hpp"
#include "core/registry.hpp"
#include "core/select.hpp"
#include "core/snapshot.hpp"

namespace isthmus::core::test {
namespace {

using faults::exhaust;

/// An interpreter for as long as the scope lasts.
class guest {
  public:
    guest() : record_(interpreters().attach(this, 95, true, false, true)) {}
    guest(const guest&) = delete;
    guest& operator=(const guest&) = delete;
    ~guest() { interpreters().gone(record_); }
    [[nodiscard]] const interpreter_ref& operator*() const noexcept { return record_; }

  private:
    interpreter_ref record_;
};

class counted_call final : public posted_call {
  public:
    counted_call(interpreter_ref to, int& performed) : posted_call(std::move(to)), performed_(performed) {}

  private:
    void perform(interpreter&) override { ++performed_; }
    void discard() noexcept override { --performed_; }
    int& performed_;
};

class every_call_later : public testing::Test {
  protected:
    void SetUp() override { started_memory(); }
};

TEST_F(every_call_later, of_an_interpreters_end) {
    const std::size_t calls = exhaust([] {
        const std::shared_ptr<party> by = party::create();
        const std::shared_ptr<death_notice> note = death_notice::create();
        note->add_holder(end::recv, *by);
        try {
            EXPECT_GE(note->watch(end::recv, *by), 0);
            note->give();
            message nothing;
            const std::array cases = {select_case{note.get(), end::recv, &nothing}};
            EXPECT_EQ(try_select(*by, cases).how, outcome::ok);
        } catch (...) {
            note->drop_holder(end::recv, *by);
            throw;
        }
        note->drop_holder(end::recv, *by);
    });
    EXPECT_GT(calls, 4U);
}

TEST_F(every_call_later, of_a_posted_call) {
    const std::size_t calls = exhaust([] {
        const guest owner;
        int performed = 0;
        std::vector<std::shared_ptr<counted_call>> posted;
        try {
            for (int n = 0; n < 3; ++n) {
                posted.push_back(std::make_shared<counted_call>(*owner, performed));
                EXPECT_TRUE(post_call(posted.back()));
            }
            EXPECT_TRUE(posted.back()->cancel());
        } catch (const std::bad_alloc&) {
            EXPECT_TRUE(faults::fired);
        }
        run_errands(**owner);
        // A call that found no room in the list was made and not posted.
        for (const auto& each : posted) {
            EXPECT_TRUE(each->ended());
        }
        EXPECT_TRUE(faults::fired || performed == 1);
    });
    EXPECT_GT(calls, 4U);
}

TEST_F(every_call_later, of_a_snapshot) {
    const guest one;
    const std::shared_ptr<channel> c = channel::create(std::nullopt);
    const std::shared_ptr<queue> q = queue::create(0, unbound::remove);
    c->add_holder(end::send, *(*one)->side);
    q->add_holder(end::recv, *(*one)->side);
    message m = numbered(1);
    EXPECT_EQ(c->try_send(*(*one)->side, m), outcome::ok);
    const std::size_t calls = exhaust([] { EXPECT_TRUE(is_snapshot(snapshot::take().to_json())); });
    EXPECT_GT(calls, 6U);
    c->drop_holder(end::send, *(*one)->side);
    q->drop_holder(end::recv, *(*one)->side);
}

} // namespace
} // namespace isthmus::core::test

/// Calls by name, and those that are posted.
#include "host/calls.hpp"

#include "host/answers.hpp"
#include "host/inside.hpp"
#include "host/interpreter_state.hpp"

#include "cxx/codec.hpp"

#include "core/posted_call.hpp"

namespace isthmus {
namespace host {

module::job calling(std::string_view name, const std::vector<value>& arguments,
                    const std::vector<std::pair<std::string, value>>& keywords) {
    module::job work;
    module::job::named_call& named = work.named.emplace();
    named.name = name;
    named.positional.reserve(arguments.size());
    for (const value& each : arguments) {
        named.positional.push_back(detail::encode(each));
    }
    for (const auto& [keyword, each] : keywords) {
        named.keywords.push_back({keyword, detail::encode(each)});
    }
    return work;
}

namespace {

/// Its end is told through a promise, once.
class promised final : public core::posted_call {
  public:
    promised(core::interpreter_ref to, module::job work)
        : posted_call(std::move(to)), work_(std::move(work)) {}

    [[nodiscard]] std::future<value> future() { return promise_.get_future(); }

  protected:
    void perform(core::interpreter& here) override {
        module::answer given = module::carry_out(here, work_, true);
        work_ = {};
        try {
            promise_.set_value(open_answer(here, std::move(given)));
        } catch (const std::exception&) { // nothing else: CPython may end the thread in there (H16)
            promise_.set_exception(std::current_exception());
        }
    }
    void discard() noexcept override {
        work_ = {};
        try {
            promise_.set_exception(std::make_exception_ptr(interpreter_error(
                "interpreter " + std::to_string(to().number) + " closed before it ran this call")));
        } catch (const std::bad_alloc&) { // its future then throws std::future_error, for a broken promise
        }
    }

  private:
    module::job work_;
    std::promise<value> promise_;
};

} // namespace
} // namespace host

std::future<value> interpreter::post_with(std::string_view name, const std::vector<value>& arguments,
                                          const std::vector<std::pair<std::string, value>>& keywords) {
    if (state_ == nullptr) {
        throw interpreter_error("this isthmus::interpreter was moved from");
    }
    const core::interpreter_ref& to = state_->record;
    const auto call = std::make_shared<host::promised>(to, host::calling(name, arguments, keywords));
    std::future<value> future = call->future();
    // Before, so that nothing was posted if there is no thread; after, should the helper have rested between.
    const bool served = py::start_calls(*to);
    if (served && !core::post_call(call)) {
        throw interpreter_error("interpreter " + std::to_string(to->number) + " is closed");
    }
    if (!served || (!py::start_calls(*to) && call->cancel())) {
        throw interpreter_error("no thread can be started for interpreter " + std::to_string(to->number));
    }
    return future;
}

} // namespace isthmus

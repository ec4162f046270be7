/// Calls by name, and those that are posted.
#include "host/calls.hpp"

#include "host/answers.hpp"
#include "host/inside.hpp"
#include "host/interpreter_state.hpp"

#include "cxx/blocking.hpp"
#include "cxx/codec.hpp"

#include "core/posted_call.hpp"

#include <atomic>
#include <exception>
#include <optional>
#include <utility>

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

} // namespace host

namespace detail {

/// The call as it crosses, then what became of it.
class posted final : public core::posted_call {
  public:
    posted(core::interpreter_ref to, module::job work) : posted_call(std::move(to)), work_(std::move(work)) {}

    /// Somebody may want to know how it ends. Read by the owner when it begins.
    std::atomic<bool> wanted{true};

    /// Once it has ended. Throws what pending_call::result says.
    [[nodiscard]] value& outcome() {
        switch (now()) {
        case phase::cancelled:
            throw cancelled_error("the posted call was cancelled");
        case phase::failed:
            throw interpreter_error("interpreter " + std::to_string(to().number) +
                                    " was closed, or this process forked, before it ran this call");
        default:
            break;
        }
        if (thrown_ != nullptr) {
            std::rethrow_exception(thrown_);
        }
        return returned_;
    }
    /// Instead of waiting. Once.
    [[nodiscard]] std::future<value> future() {
        std::future<value> given = promise_.emplace().get_future();
        if ((meeting_.fetch_or(asked, std::memory_order_acq_rel) & told) != 0) {
            fulfil();
        }
        return given;
    }

  protected:
    void perform(core::interpreter& here) override {
        const bool is_wanted = wanted.load(std::memory_order_acquire);
        module::answer given = module::carry_out(here, work_, is_wanted);
        work_ = {};
        if (is_wanted) {
            try {
                returned_ = host::open_answer(here, std::move(given));
            } catch (const std::exception&) { // nothing else: CPython may end the thread in there (H16)
                thrown_ = std::current_exception();
            }
        }
        tell();
    }
    void discard() noexcept override {
        work_ = {};
        tell();
    }

  private:
    /// What there is to tell is in place.
    void tell() noexcept {
        if ((meeting_.fetch_or(told, std::memory_order_acq_rel) & asked) != 0) {
            fulfil();
        }
    }
    void fulfil() noexcept {
        try {
            promise_->set_value(std::move(outcome()));
        } catch (const std::exception&) {
            promise_->set_exception(std::current_exception());
        }
    }

    static constexpr std::uint8_t asked = 1; ///< the promise is there
    static constexpr std::uint8_t told = 2;

    module::job work_;
    value returned_;
    std::exception_ptr thrown_;
    std::optional<std::promise<value>> promise_;
    std::atomic<std::uint8_t> meeting_{0}; ///< who comes second fulfils the promise
};

} // namespace detail

// ---- pending_call

pending_call::pending_call(std::shared_ptr<detail::posted> call) noexcept : call_(std::move(call)) {}
pending_call::pending_call(pending_call&&) noexcept = default;

pending_call& pending_call::operator=(pending_call&& other) noexcept {
    pending_call former(std::exchange(call_, std::move(other.call_)));
    return *this;
}

pending_call::~pending_call() {
    if (call_ != nullptr) {
        call_->wanted.store(false, std::memory_order_release);
    }
}

bool pending_call::wait(patience timeout) const {
    if (!timeout && !done() && call_->waits_for_itself()) {
        throw interpreter_error(
            "posted calls of one interpreter run one after another: this one would wait for ever");
    }
    const core::outcome how = detail::attempt_or_wait(
        timeout, [&] { return done() ? core::outcome::ok : core::outcome::would_block; },
        [&](core::futex::deadline until, core::wait_site& site) {
            return call_->wait(detail::host_party(), until, site);
        });
    return how == core::outcome::ok;
}

bool pending_call::done() const noexcept {
    return call_->ended();
}

bool pending_call::running() const noexcept {
    return call_->now() == core::posted_call::phase::running;
}

bool pending_call::cancelled() const noexcept {
    return call_->now() == core::posted_call::phase::cancelled;
}

bool pending_call::cancel() {
    return call_->cancel();
}

const value& pending_call::outcome(patience timeout) const {
    return wait(timeout) ? call_->outcome() : throw timeout_error("the posted call has not ended yet");
}

value pending_call::result(patience timeout) const& {
    return outcome(timeout);
}

value pending_call::result(patience timeout) && {
    static_cast<void>(outcome(timeout));
    return std::move(call_->outcome());
}

pending_call::operator std::future<value>() && {
    std::future<value> given = call_->future();
    call_ = nullptr; // which is still wanted
    return given;
}

pending_call interpreter::post_with(std::string_view name, const std::vector<value>& arguments,
                                    const std::vector<std::pair<std::string, value>>& keywords) {
    if (state_ == nullptr) {
        throw interpreter_error("this isthmus::interpreter was moved from");
    }
    const core::interpreter_ref& to = state_->record;
    const auto call = std::make_shared<detail::posted>(to, host::calling(name, arguments, keywords));
    // Before, so that nothing was posted if there is no thread; after, should the helper have rested between.
    const bool served = py::start_calls(*to);
    if (served && !core::post_call(call)) {
        throw interpreter_error("interpreter " + std::to_string(to->number) + " is closed");
    }
    if (!served || (!py::start_calls(*to) && call->cancel())) {
        throw interpreter_error("no thread can be started for interpreter " + std::to_string(to->number));
    }
    return pending_call(call);
}

} // namespace isthmus

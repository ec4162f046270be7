/// Work that other threads leave for one thread: a lock-free list of calls which only its owner runs. For C++
/// threads what `interpreter::post` is for interpreters.
#pragma once

#include <isthmus/channel.hpp>

#include <functional>
#include <memory>
#include <utility>

namespace isthmus {

class [[gnu::visibility("default")]] inbox {
  public:
    inbox();
    /// Owner, while no other thread uses either. What was moved from may only be assigned to or destroyed.
    inbox(inbox && other) noexcept;
    /// Drops what waits here before.
    inbox& operator=(inbox&& other) noexcept;
    /// What waits is dropped. Owner, and no other thread may begin to use it; a post whose call does this may
    /// be under way.
    ~inbox();

    /// Any thread; never blocks. Calls of one thread are run in the order in which it posted them. False:
    /// closed; the call is dropped. Throws std::bad_alloc.
    template <typename Call> bool post(Call && call) {
        return post_node(
            std::make_unique<holding<std::decay_t<Call>>>(std::in_place, std::forward<Call>(call)));
    }
    /// Owner: runs what was posted before, oldest first, and returns how many. What a call throws passes; the
    /// others wait for the next drain.
    std::size_t drain();
    /// Owner: waits until something was posted, or it is closed. False: the time is over.
    bool wait(patience timeout = std::nullopt);
    /// Later posts are refused; what waits can still be drained. Wakes the owner. Any thread.
    void close() noexcept;
    [[nodiscard]] bool is_closed() const noexcept;

  private:
    struct [[gnu::visibility("default")]] node {
        virtual ~node();
        virtual void run() = 0;
    };
    template <typename Call> struct holding final : node {
        template <typename From> holding(std::in_place_t, From&& from) : call(std::forward<From>(from)) {}
        void run() override { call(); }
        Call call;
    };
    [[nodiscard]] bool post_node(std::unique_ptr<node> what);

    struct inside;
    explicit inbox(std::shared_ptr<inside> taken) noexcept;
    std::shared_ptr<inside> inside_; ///< shared with posts under way
};

} // namespace isthmus

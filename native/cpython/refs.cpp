#include "cpython/refs.hpp"

#ifndef NDEBUG

#include "cpython/current.hpp"

#include "core/memory.hpp"

#include <cstdio>
#include <cstdlib>

namespace isthmus::py {
namespace {

constexpr unsigned no_other = core::max_windows;
thread_local constinit unsigned counts_also_for = no_other;

[[noreturn]] void counted_wrongly(const PyObject* o, const core::interpreter* here,
                                  const char* why) noexcept {
    const core::arena& space = core::memory().space();
    const int lies_in = space.contains(o) ? static_cast<int>(space.window_of(o)) : -1;
    const core::window* const view = here != nullptr ? here->view : nullptr;
    std::fprintf(stderr,
                 "isthmus: a reference of the object at %p (window %d) is counted in interpreter %lld "
                 "(window %d): %s\n",
                 static_cast<const void*>(o), lies_in,
                 here != nullptr ? static_cast<long long>(here->number) : -1LL,
                 view != nullptr ? static_cast<int>(view->index) : -1, why);
    std::abort();
}

} // namespace

counts_for::counts_for(unsigned window) noexcept {
    counts_also_for = window;
}

counts_for::~counts_for() {
    counts_also_for = no_other;
}

void check_owner(const PyObject* o) noexcept {
    if (PyThreadState_GetUnchecked() == nullptr) [[unlikely]] {
        counted_wrongly(o, nullptr, "the thread is attached to no interpreter");
    }
    const core::arena& space = core::memory().space();
    if (!space.contains(o)) [[likely]] {
        return;
    }
    const core::interpreter* const here = current_interpreter();
    const unsigned window = space.window_of(o);
    const bool mine = here != nullptr && here->view != nullptr && window == here->view->index;
    if (!mine && window != counts_also_for) {
        counted_wrongly(o, here, "it lies in another interpreter's window");
    }
    const core::slot* const s = core::memory().containing(o);
    if (s == nullptr) {
        counted_wrongly(o, here, "nothing lives there");
    }
    if (s->owner_window.load(std::memory_order_relaxed) != window && !s->has_twin(window)) {
        counted_wrongly(o, here, "it is another interpreter's, and no twin of it lives here");
    }
}

} // namespace isthmus::py

#endif // NDEBUG

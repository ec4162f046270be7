/// Garbage collection of channels and queues that only messages inside such garbage refer to: a channel whose
/// own ends lie in its buffer, two that carry each other's. Reference counts alone never free those.
///
/// A conduit is suspect while no object of any interpreter holds it, but an end of it is on its way. A
/// suspect is garbage if all its ends in flight lie buffered in garbage. Nothing is garbage that a message on
/// some thread's stack, or a waiting sender, could still bring back: its end then is in flight, but not
/// buffered.
///
/// Thread rules: any thread, no lock held.
#pragma once

#include "core/conduit.hpp"

namespace isthmus::core {

/// To be called when `c` became suspect. Collects at once while few suspects are
/// alive, else after as many suspicions as an eighth of them.
void suspect(conduit& c) noexcept;
/// It is destroyed, or its survey, which still holds its locks, finds that it is not suspect.
void forget_suspect(conduit& c) noexcept;
// For a fork (forking.hpp).
void lock_suspicion() noexcept;
void unlock_suspicion() noexcept;
/// In the child: the thread that was collecting, if any, is not there to end it.
void forget_collector() noexcept;
/// Collects all garbage there is. What it holds is dropped on this thread.
void collect_cycles() noexcept;

} // namespace isthmus::core

#include "core/start.hpp"

#include "core/memory.hpp"
#include "core/registry.hpp"

#include <mutex>

namespace isthmus::core {

void start() {
    static std::once_flag once;
    std::call_once(once, [] {
        static_cast<void>(memory().start(options::from_environment()));
        // After the memory: a fork takes locks in the opposite order of these calls, and whoever attaches
        // holds the registry's when it takes the memory's.
        registry::prepare_for_fork();
    });
}

} // namespace isthmus::core

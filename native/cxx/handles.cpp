/// What travels as the same thing, as C++ knows it: channel ends, queues, views, shared memory. Any thread.
#include "cxx/codec.hpp"
#include "cxx/ends.hpp"
#include "cxx/memory_block.hpp"
#include "cxx/shown_memory.hpp"

namespace isthmus::detail {
namespace {

enum class known : std::uint8_t { nothing, channel, queue, notice, view, memory };

known what_is(const core::attachment& travelling) noexcept {
    if (const auto* const end = dynamic_cast<const core::travelling_end*>(&travelling)) {
        if (dynamic_cast<const core::channel*>(end->of.get()) != nullptr) {
            return known::channel;
        }
        return dynamic_cast<const core::queue*>(end->of.get()) != nullptr ? known::queue : known::nothing;
    }
    if (dynamic_cast<const core::travelling_death_notice*>(&travelling) != nullptr) {
        return known::notice;
    }
    if (const auto* const view = dynamic_cast<const core::travelling_view*>(&travelling)) {
        return view->what.layout.indirect ? known::nothing : known::view; // C++ has no suboffsets
    }
    if (const auto* const memory = dynamic_cast<const core::travelling_memory*>(&travelling)) {
        return memory->format == '\0' ? known::memory : known::nothing; // no class for an AtomicView
    }
    return known::nothing;
}

} // namespace

bool recognises(const core::attachment& travelling) noexcept {
    return what_is(travelling) != known::nothing;
}

std::shared_ptr<const handle> unpack(std::unique_ptr<core::attachment>& travelling) {
    std::shared_ptr<const handle> made;
    switch (what_is(*travelling)) {
    case known::channel: {
        const auto& end = static_cast<const core::travelling_end&>(*travelling);
        made =
            std::make_shared<const channel_end>(std::static_pointer_cast<core::channel>(end.of), end.which);
        break;
    }
    case known::queue: {
        const auto& end = static_cast<const core::travelling_end&>(*travelling);
        made = std::make_shared<const queue_end>(std::static_pointer_cast<core::queue>(end.of));
        break;
    }
    case known::notice:
        made =
            std::make_shared<const notice_end>(static_cast<core::travelling_death_notice&>(*travelling).of);
        break;
    case known::view:
        made = std::make_shared<const shown_memory>(static_cast<core::travelling_view&>(*travelling).what);
        break;
    case known::memory:
        made = std::make_shared<const memory_block>(static_cast<core::travelling_memory&>(*travelling).what);
        break;
    case known::nothing:
        return nullptr;
    }
    travelling.reset(); // after the end has its holder
    return made;
}

} // namespace isthmus::detail

/// How values are written into messages, by the names of this layer: core/wire.hpp, which C++ values use too.
#pragma once

#include "core/wire.hpp"

namespace isthmus::crossing {

using namespace core::wire;

} // namespace isthmus::crossing

#include "module/state.hpp"

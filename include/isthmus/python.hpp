/// All of `isthmus::python`, and of `isthmus::core`.
#pragma once

#include <isthmus/c_api.hpp>
#include <isthmus/core.hpp>
#include <isthmus/executor.hpp>
#include <isthmus/function.hpp>
#include <isthmus/host.hpp>
#include <isthmus/interpreter.hpp>
#include <isthmus/pending_call.hpp>
#include <isthmus/python_error.hpp>
#include <isthmus/runtime.hpp>

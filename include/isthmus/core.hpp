/// All of `isthmus::core`: bytes in shared memory, channels, queues, inboxes; no Python.
#pragma once

#include <isthmus/bytes.hpp>
#include <isthmus/channel.hpp>
#include <isthmus/error.hpp>
#include <isthmus/inbox.hpp>
#include <isthmus/queue.hpp>
#include <isthmus/select.hpp>
#include <isthmus/value.hpp>

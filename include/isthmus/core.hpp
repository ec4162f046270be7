/// All of `isthmus::core`: bytes in shared memory, buffers, channels, queues, inboxes; no Python.
#pragma once

#include <isthmus/buffer.hpp>
#include <isthmus/bytes.hpp>
#include <isthmus/channel.hpp>
#include <isthmus/closed_event.hpp>
#include <isthmus/error.hpp>
#include <isthmus/inbox.hpp>
#include <isthmus/queue.hpp>
#include <isthmus/select.hpp>
#include <isthmus/shared_buffer.hpp>
#include <isthmus/value.hpp>

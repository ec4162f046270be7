"""What CPython's tests import as `concurrent.interpreters`: isthmus, under the names that they use."""

from __future__ import annotations

import sys

import isthmus
from isthmus import (
    ExecutionFailed,
    Interpreter,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
    create,
    get_current,
    get_main,
    list_all,
)

if sys.version_info >= (3, 14):
    from concurrent.interpreters._queues import Queue, QueueEmpty, QueueFull
    from concurrent.interpreters._queues import create as create_queue
else:
    from test.support.interpreters.queues import Queue, QueueEmpty, QueueFull
    from test.support.interpreters.queues import create as create_queue

__all__ = [
    "ExecutionFailed",
    "Interpreter",
    "InterpreterError",
    "InterpreterNotFoundError",
    "NotShareableError",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "create",
    "create_queue",
    "get_current",
    "get_main",
    "is_shareable",
    "list_all",
]


def is_shareable(obj: object) -> bool:
    # The channel ends of the stand-in are wrapped.
    return isthmus.is_shareable(getattr(obj, "_end", obj))

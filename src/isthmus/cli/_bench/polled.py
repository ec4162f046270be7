"""The private queue module of CPython 3.13, waited for as the standard library waits: asleep 10 ms at a time.

3.13 has the module but its high-level wrapper only inside `test.support`, which many installations leave out.
Like `loops`, this file is also executed in interpreters that must not import isthmus.
"""

from __future__ import annotations

import importlib
import queue
import time
from typing import Any

#: Without the stub's types: they describe 3.14's module, which takes other arguments.
_queues: Any = importlib.import_module("_interpqueues")
#: Seconds between two looks, as in `test.support.interpreters.queues`.
DELAY = 10 / 1000
#: Only what the module passes by itself, never pickled: the faster of its two formats.
SHARED_ONLY = 0
#: What becomes of an item whose interpreter ended: it stays, unbound.
UNBOUND = 3


class QueueEmpty(_queues.QueueError, queue.Empty):  # type: ignore[misc]
    """The module raises it once it is registered."""


class QueueFull(_queues.QueueError, queue.Full):  # type: ignore[misc]
    """Likewise."""


class PolledQueue:
    """An unbounded queue between interpreters; the same `number` names the same queue in each."""

    def __init__(self, number: int | None = None) -> None:
        self.number: int = _queues.create(0, SHARED_ONLY, UNBOUND) if number is None else number

    def put(self, value: object) -> None:
        """Add a value that the module can pass by itself."""
        _queues.put(self.number, value, SHARED_ONLY, UNBOUND)

    def get_nowait(self) -> Any:
        """The next value; raises QueueEmpty."""
        return _queues.get(self.number)[0]

    def get(self) -> Any:
        """Wait for the next value."""
        while True:
            try:
                return self.get_nowait()
            except QueueEmpty:
                time.sleep(DELAY)


_queues._register_heap_types(PolledQueue, QueueEmpty, QueueFull)

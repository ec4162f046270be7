"""Exceptions and markers of queues (PEP 734). Imported when first needed: it takes `queue` along."""

from __future__ import annotations

import queue


class QueueError(RuntimeError):
    """An operation on a queue failed."""


class QueueNotFoundError(QueueError):
    """No queue with that id exists."""


class QueueEmpty(QueueError, queue.Empty):
    """There was nothing to take out, in time."""


class QueueFull(QueueError, queue.Full):
    """There was no room, in time."""


class QueueShutDown(QueueError, queue.ShutDown):
    """The queue was shut down."""


class ItemInterpreterDestroyed(QueueError):
    """The interpreter that put the item is gone, and the item was put with UNBOUND_ERROR."""


class UnboundOptionError(NotImplementedError, ValueError):
    """`unbounditems` is none of the three options. A `NotImplementedError` as the standard library has it."""


class UnboundItem:
    """What becomes of an item in a queue whose interpreter has ended. There is one object of each kind."""

    __slots__ = ("_name",)
    _name: str

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"isthmus.{self._name}"

    def __reduce__(self) -> str:
        return self._name


UNBOUND = UnboundItem("UNBOUND")
UNBOUND_ERROR = UnboundItem("UNBOUND_ERROR")
UNBOUND_REMOVE = UnboundItem("UNBOUND_REMOVE")

"""What CPython's tests import as its queue module: `isthmus.Queue`, with 3.13's arguments on 3.13."""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import Any

import isthmus
from isthmus import (
    UNBOUND,
    UNBOUND_ERROR,
    UNBOUND_REMOVE,
    ItemInterpreterDestroyed,
    QueueEmpty,
    QueueError,
    QueueFull,
    QueueNotFoundError,
)

__all__ = [
    "UNBOUND",
    "UNBOUND_ERROR",
    "UNBOUND_REMOVE",
    "ItemInterpreterDestroyed",
    "Queue",
    "QueueEmpty",
    "QueueError",
    "QueueFull",
    "QueueNotFoundError",
    "create",
    "list_all",
]


_made: list[int] = []

if sys.version_info >= (3, 14):
    Queue = isthmus.Queue

    def create(maxsize: int = 0, **options: Any) -> Any:
        queue = isthmus.create_queue(maxsize, **options)
        _made.append(queue.id)
        return queue
else:
    _known: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def _options(unbound: object) -> dict[str, Any]:
        return {} if unbound is None else {"unbounditems": unbound}

    class Queue:
        """`syncobj` chose between two ways to cross; isthmus has one, so it is ignored."""

        def __new__(cls, id: int, /, *, _queue: Any = None) -> Any:
            if not isinstance(id, int):
                raise TypeError(f"id must be an int, got {id!r}")
            if id in _known:
                return _known[id]
            self = super().__new__(cls)
            self._queue = isthmus.Queue(id) if _queue is None else _queue
            _known[id] = self
            return self

        def __reduce__(self) -> Any:
            return Queue, (self.id,)

        def __hash__(self) -> int:
            return hash(self._queue)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Queue) and self._queue == other._queue

        id = property(lambda self: self._queue.id)
        maxsize = property(lambda self: self._queue.maxsize)

        def empty(self) -> bool:
            return self._queue.empty()

        def full(self) -> bool:
            return self._queue.full()

        def qsize(self) -> int:
            return self._queue.qsize()

        def put(
            self, obj: Any, timeout: float | None = None, *, syncobj: object = None, unbound: Any = None
        ) -> None:
            self._queue.put(obj, True, timeout, **_options(unbound))

        def put_nowait(self, obj: Any, *, syncobj: object = None, unbound: Any = None) -> None:
            self._queue.put_nowait(obj, **_options(unbound))

        def get(self, timeout: float | None = None) -> Any:
            return self._queue.get(True, timeout)

        def get_nowait(self) -> Any:
            return self._queue.get_nowait()

    def create(maxsize: int = 0, *, syncobj: bool = False, **options: Any) -> Any:
        inner = isthmus.create_queue(maxsize, **options)
        queue = Queue(inner.id, _queue=inner)
        _made.append(queue.id)
        return queue


def list_all() -> list[Any]:
    """Those made here: isthmus lists no queues, as `concurrent.interpreters` has no public name for it."""
    found = []
    for id in _made:
        with contextlib.suppress(QueueNotFoundError):
            found.append(Queue(id))
    return found

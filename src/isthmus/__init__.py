"""Isolated interpreters of one process that hand each other objects, not copies.

    import isthmus

    r, s = isthmus.create_channel()
    interp = isthmus.create()

Names follow PEP 554 of 2017 and PEP 734 (`concurrent.interpreters`).
"""

from __future__ import annotations

import os as _os

from isthmus import _at_fork as _at_fork
from isthmus._errors import (
    ExceptionInfo,
    ExecutionFailed,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
)
from isthmus._isthmus import (
    AtomicView,
    ChannelStatistics,
    ClosedEvent,
    Interpreter,
    PendingCall,
    Queue,
    RecvChannel,
    SendChannel,
    SharedBuffer,
    __version__,
    create,
    create_channel,
    create_queue,
    describe,
    enable,
    get_current,
    get_main,
    is_shareable,
    list_all,
    list_all_channels,
    owner,
    same_memory,
    select,
    share,
)
from isthmus._stats import Statistics, stats

TYPE_CHECKING = False  # as typing's; importing that costs every new interpreter milliseconds
if TYPE_CHECKING:
    from isthmus import host as host
    from isthmus import inspection as inspection
    from isthmus._queues import (
        UNBOUND,
        UNBOUND_ERROR,
        UNBOUND_REMOVE,
        ItemInterpreterDestroyed,
        QueueEmpty,
        QueueError,
        QueueFull,
        QueueNotFoundError,
        QueueShutDown,
    )
    from isthmus._register import register

__all__ = [
    "UNBOUND",
    "UNBOUND_ERROR",
    "UNBOUND_REMOVE",
    "AtomicView",
    "ChannelStatistics",
    "ClosedEvent",
    "ExceptionInfo",
    "ExecutionFailed",
    "Interpreter",
    "InterpreterError",
    "InterpreterNotFoundError",
    "ItemInterpreterDestroyed",
    "NotShareableError",
    "PendingCall",
    "Queue",
    "QueueEmpty",
    "QueueError",
    "QueueFull",
    "QueueNotFoundError",
    "QueueShutDown",
    "RecvChannel",
    "SendChannel",
    "SharedBuffer",
    "Statistics",
    "__version__",
    "create",
    "create_channel",
    "create_queue",
    "describe",
    "enable",
    "get_current",
    "get_main",
    "is_shareable",
    "list_all",
    "list_all_channels",
    "owner",
    "register",
    "same_memory",
    "select",
    "share",
    "stats",
]

if _os.environ.get("ISTHMUS_INSPECTION") == "1":
    from isthmus import _serve_on_import as _serve_on_import

del TYPE_CHECKING
_LAZY = frozenset(name for name in __all__ if name not in globals())


def __getattr__(name: str) -> object:
    if name in ("host", "inspection"):  # this needs dataclasses, json and socket, and few use that
        return __import__(f"isthmus.{name}", fromlist=(name,))
    # Exceptions and markers of queues derive from `queue`'s: who uses no queue need not import that.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    source = __import__(f"isthmus.{'_register' if name == 'register' else '_queues'}", fromlist=(name,))
    value = globals()[name] = getattr(source, name)
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | _LAZY)

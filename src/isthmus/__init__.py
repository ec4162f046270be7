"""Isolated interpreters of one process that hand each other objects, not copies.

    import isthmus

    r, s = isthmus.create_channel()
    interp = isthmus.create()

Names follow PEP 554 of 2017 and PEP 734 (`concurrent.interpreters`).
"""

from __future__ import annotations

from isthmus._errors import (
    ExceptionInfo,
    ExecutionFailed,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
)
from isthmus._isthmus import (
    Interpreter,
    RecvChannel,
    SendChannel,
    __version__,
    create,
    create_channel,
    describe,
    enable,
    get_current,
    get_main,
    is_shareable,
    list_all,
    owner,
    same_memory,
    share,
)
from isthmus._stats import Statistics, stats

__all__ = [
    "ExceptionInfo",
    "ExecutionFailed",
    "Interpreter",
    "InterpreterError",
    "InterpreterNotFoundError",
    "NotShareableError",
    "RecvChannel",
    "SendChannel",
    "Statistics",
    "__version__",
    "create",
    "create_channel",
    "describe",
    "enable",
    "get_current",
    "get_main",
    "is_shareable",
    "list_all",
    "owner",
    "same_memory",
    "share",
    "stats",
]

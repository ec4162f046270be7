"""os.fork() in a process of several threads: no import of ours is under way then.

CPython leaves the lock of a module whose import another thread had begun locked in the child for ever (the
locks of `importlib._bootstrap`, which only that thread would open again). What isthmus imports when first
needed is therefore imported by whoever forks beside other threads; that waits for the thread that had begun.
"""

from __future__ import annotations

import os
import sys

# What isthmus imports late, ours and the standard library's.
LATE = (
    "isthmus._class_parts",
    "isthmus._classes",
    "isthmus._clone",
    "isthmus._descriptors",
    "isthmus._exception_values",
    "isthmus._functions",
    "isthmus._poison",
    "isthmus._queues",
    "isthmus._reducers",
    "isthmus._register",
    "isthmus._remote",
    "isthmus._spare_parts",
    "concurrent.futures",
    "copyreg",
    "datetime",
    "dis",
    "functools",
    "io",
    "pickle",
    "socket",
    "typing",
)


def _finish_imports() -> None:
    if len(sys._current_frames()) > 1:
        for name in LATE:
            try:
                __import__(name)
            except Exception:  # who needs it is told then
                continue


os.register_at_fork(before=_finish_imports)

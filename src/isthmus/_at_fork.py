"""os.fork(): a warning where CPython kills the child; beside threads, no import of ours is under way.

While another interpreter exists, whoever made it and whatever it does, CPython's child dies before it returns
from the fork: it clears the others without entering them. `subprocess` without `preexec_fn` runs no Python
code in its child, and no hook.

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
    "_interpreters",
    "copyreg",
    "datetime",
    "dis",
    "functools",
    "io",
    "pickle",
    "socket",
    "typing",
    "warnings",
)


def _finish_imports() -> None:
    if len(sys._current_frames()) > 1:
        for name in LATE:
            try:
                __import__(name)
            except Exception:  # who needs it is told then
                continue


def _warn_of_others() -> None:
    try:
        import _interpreters
    except ImportError:  # no descriptor is left to read it by
        return

    others = len(_interpreters.list_all()) - 1
    if others > 0:
        import warnings

        warnings.warn(
            f"fork while {others} other interpreter{'s exist' if others > 1 else ' exists'}: CPython will "
            "kill the child process; close them before, or start it with subprocess (no preexec_fn) or with "
            "multiprocessing's 'spawn' or 'forkserver'",
            RuntimeWarning,
            stacklevel=3,
        )


def _before() -> None:
    _warn_of_others()
    _finish_imports()


os.register_at_fork(before=_before)

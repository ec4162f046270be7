"""Functions that the C++ host of this process offers: `isthmus.host.name(...)`.

A host defines them with `isthmus::define_host_function`; they are there in every interpreter. Arguments
and results cross as for `Interpreter.call`. A call lets go of the GIL while the host's code runs, and raises
what that throws: see `isthmus/host.hpp`. In a process without such a host there are none.
"""

from __future__ import annotations

from functools import partial

from isthmus import _isthmus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def __getattr__(name: str) -> Callable[..., Any]:
    if not name.startswith("__") and _isthmus.host_has(name):
        # Not kept here: the host may put another one in its place.
        return partial(_isthmus.host_call, name)
    raise AttributeError(f"the host has no function {name!r}")


def __dir__() -> list[str]:
    """The names of the functions that there are."""
    return _isthmus.host_names()

"""`register`: how objects of a type of the user's cross."""

from __future__ import annotations

import types
from pickle import PickleBuffer

from isthmus import _clone
from isthmus._isthmus import AtomicView, Interpreter, Queue, RecvChannel, SendChannel, SharedBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CROSS_THEIR_OWN_WAY = frozenset(
    {
        *(type(None), type(...), type(NotImplemented), bool, int, float, complex, range, slice),
        *(bytes, str, bytearray, memoryview, PickleBuffer),
        *(tuple, list, dict, set, frozenset),
        *(type, types.FunctionType, types.CellType),
        *(Interpreter, RecvChannel, SendChannel, Queue, SharedBuffer, AtomicView),
    }
)


def register[T, Travelling](
    type: type[T],
    encode: Callable[[T], Travelling],
    decode: Callable[[Travelling], T],
    /,
) -> None:
    """Let objects of exactly this type cross as what `encode` makes of them.

    `encode(obj)` runs in the sender and returns any value that crosses; `decode(value)` runs in the receiver
    and returns the object there. `decode` crosses as functions do, by name or as code, so that only the
    sender registers; in an interpreter that sends such objects back, register there too. What either raises
    is raised by the send or receive. The latest registration counts; subclasses are not concerned.

    Takes precedence over `__cross__`, `copyreg` and `__reduce__`. TypeError if `type` is no class, or the
    others can't be called; ValueError if the type has its own way across, as the builtin ones have.
    """
    if not isinstance(type, _TYPE):
        raise TypeError(f"a class is needed, not {type!r}")
    for what, function in (("encode", encode), ("decode", decode)):
        if not callable(function):
            raise TypeError(f"{what} must be callable, not {function!r}")
    if type in _CROSS_THEIR_OWN_WAY or (type.__module__, type.__name__) == ("mmap", "mmap"):
        raise ValueError(f"{type.__qualname__} has its own way across")
    _clone.registered[type] = encode, decode


_TYPE: Any = type

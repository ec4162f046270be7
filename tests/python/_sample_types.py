"""Types that tests send: in a module of their own, which every interpreter can import cheaply."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any, NamedTuple, NoReturn


@dataclasses.dataclass
class Point:
    """Pickled by reference to its class."""

    x: int
    y: Any = None


class Pair(NamedTuple):
    """A tuple, but not of exactly that type."""

    first: Any
    second: Any


class Text(str):
    """Text with more than its characters."""

    __slots__ = ()


class Refuses:
    """Fails in the middle of being taken apart."""

    def __reduce__(self) -> NoReturn:
        raise ZeroDivisionError("in __reduce__")


def explode() -> NoReturn:
    """Stand for a constructor that fails."""
    raise ZeroDivisionError("on arrival")


class Explodes:
    """Is taken apart well and fails when it is rebuilt."""

    def __reduce__(self) -> Any:
        return explode, ()


class Buffered:
    """Gives its bytes to pickle as a buffer that may stay out of band."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Buffered, (pickle.PickleBuffer(self.data),)

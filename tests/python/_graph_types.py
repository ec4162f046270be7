"""Types that the property tests build graphs of: every interpreter imports them, so nothing large in here."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple


class Plain:
    """Class and attributes; equal and hashed by identity, so it is a member of sets at any time."""

    def __init__(self, label: int) -> None:
        self.label = label  # by which it is found again among the members of a set


class Slotted:
    __slots__ = ("__weakref__", "first", "second")


class SlottedToo(Slotted):
    """Slots and a `__dict__`."""


@dataclasses.dataclass
class Record:
    first: Any = None
    second: Any = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    first: Any
    second: Any


@dataclasses.dataclass(slots=True)
class SlottedRecord:
    first: Any = None
    second: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlottedRecord:
    first: Any
    second: Any


class Pair(NamedTuple):
    first: Any
    second: Any


class Color(enum.Enum):
    RED = 1
    GREEN = "green"
    BLUE = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    RUN = enum.auto()


class Failure(Exception):
    """With attributes of its own."""


class MyInt(int):
    pass


class MyFloat(float):
    pass


class MyStr(str):
    pass


class MyBytes(bytes):
    pass


class MyTuple(tuple[Any, ...]):
    pass


class MyFrozenSet(frozenset[Any]):
    pass


class MyList(list[Any]):
    pass


class MyDict(dict[Any, Any]):
    pass


class MySet(set[Any]):
    pass


class MyByteArray(bytearray):
    pass


def by_name(*args: Any) -> Any:
    return args


class Outer:
    class Inner:
        def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...

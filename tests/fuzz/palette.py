"""What globals of the decoder's inputs are taken for: classes and callables that do no harm to the process.

They can't be changed by what an input does to them, so that each run of an input is like the first.
"""

from __future__ import annotations

import types
from typing import Any


class _Fixed(type):
    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError(f"{cls.__name__} stays as it is")


class Plain(metaclass=_Fixed):
    pass


class Items(list[Any], metaclass=_Fixed):
    def __init__(self, *_: object) -> None:
        """Takes nothing in: a range may be longer than memory is large."""


class Mapping(dict[Any, Any], metaclass=_Fixed):
    def __init__(self, *_: object) -> None:
        pass


class Pair(tuple[Any, ...], metaclass=_Fixed):
    def __new__(cls, *parts: object) -> Pair:
        return super().__new__(cls, parts)


class Stateful(metaclass=_Fixed):
    def __setstate__(self, state: object) -> None:
        if type(state) is dict:
            vars(self).update(state)
        else:
            self.state = state


class Slotted(metaclass=_Fixed):
    __slots__ = ("a", "b")


class Unhashable(metaclass=_Fixed):
    def __hash__(self) -> int:
        raise ValueError("no hash")


class Meddler(metaclass=_Fixed):
    """Empties what it got hold of, while somebody adds to it."""

    target: Any = None

    def _meddle(self) -> None:
        for each in (self.target, vars(self)):
            if isinstance(each, (list, dict, set, bytearray)):
                each.clear()

    def __hash__(self) -> int:
        self._meddle()
        return 1

    def __eq__(self, other: object) -> bool:
        self._meddle()
        return False

    def __del__(self) -> None:
        self._meddle()

    def append(self, item: object) -> None:
        self._meddle()

    def __setitem__(self, key: object, value: object) -> None:
        self.target = value

    def __setstate__(self, state: object) -> None:
        self.target = state


class Other(metaclass=_Fixed):
    """An instance of it is of another class."""

    def __new__(cls, *arguments: Any) -> Any:
        return arguments[0] if arguments else []


class Makes(metaclass=_Fixed):
    """An instance of it is a class."""

    def __new__(cls) -> Any:
        return Plain


class _Callable(metaclass=_Fixed):
    __slots__ = ()

    def __call__(self, *arguments: object) -> object:
        return arguments

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("it stays as it is")


class _Fails(_Callable):
    __slots__ = ()

    def __call__(self, *arguments: object) -> object:
        raise RuntimeError("as it is meant to")


arguments = _Callable()
fails = _Fails()
named: dict[str, object] = {
    **{
        kind.__name__: kind
        for kind in (Plain, Items, Mapping, Pair, Stateful, Slotted, Unhashable, Meddler, Other, Makes)
    },
    "arguments": arguments,
    "fails": fails,
    "int": int,
    "object": object,
    "type": type,
    "memoryview": memoryview,
    "frozenset": frozenset,
    "NoneType": type(None),
    "generator": types.GeneratorType,
}
_ordered = tuple(named.values())


def find(module: str, name: str) -> object:
    """Stands in for `isthmus._clone.find`: there is something for every name."""
    found = named.get(name)
    return _ordered[len(name) % len(_ordered)] if found is None else found

"""Whether two graphs of objects are the same: equal parts of the same types, sharing and cycles included."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import pathlib
import struct
import types
import uuid
import zoneinfo
from collections.abc import Iterable
from typing import Any

import _graph_types as t

ATOMS = (
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction,
    pathlib.PurePath, uuid.UUID, array.array,
)  # fmt: skip
SAME_OBJECT = (type, types.FunctionType, types.BuiltinFunctionType, enum.Enum, zoneinfo.ZoneInfo)
NUMBERS = (int, float, complex, bool, types.NoneType, types.EllipsisType, types.NotImplementedType)
IMMUTABLE = (bytes, str, tuple, frozenset, range, *ATOMS, *SAME_OBJECT)
SLOTS = ("first", "second")
_Todo = list[tuple[Any, Any, str]]


class Different(AssertionError):
    """Says where."""


def bits(number: complex) -> bytes:
    return struct.pack("dd", number.real, number.imag)


def _is_singular(obj: Any) -> bool:
    """One object for all that are equal, or numbers, whose identity nobody keeps."""
    if type(obj) in (str, bytes, tuple, frozenset):
        return len(obj) <= (1 if isinstance(obj, str | bytes) else 0)
    return type(obj) in NUMBERS


class Matching:
    """A walk through both graphs at once, which pairs their objects one to one."""

    def __init__(self, links: bool = True) -> None:
        self.links = links  # of exceptions, which pickle leaves behind
        self.there: dict[int, int] = {}
        self.back: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no id is used again
        self.originals: list[Any] = []
        self.todo: _Todo = []

    def walk(self, original: Any, arrived: Any) -> int:
        """How many pairs of objects with identity there are. Raises Different."""
        self.todo.append((original, arrived, "it"))
        while self.todo:
            a, b, where = self.todo.pop()
            if type(a) is not type(b):
                raise Different(f"{where}: {type(a)} arrived as {type(b)}")
            if not self._is_paired(a, b, where):
                self._compare(a, b, where)
        return len(self.there)

    def aliased(self) -> list[Any]:
        """What of the original the arrived graph refers to although it can be changed."""
        return [each for each in self.originals if not isinstance(each, IMMUTABLE) and id(each) in self.back]

    def _is_paired(self, a: Any, b: Any, where: str) -> bool:
        if _is_singular(a):
            return False
        known, of = self.there.get(id(a)), self.back.get(id(b))
        if known is None and of is None:
            self.there[id(a)], self.back[id(b)] = id(b), id(a)
            self.kept.append(b)
            self.originals.append(a)
            return False
        if known != id(b) or of != id(a):
            raise Different(f"{where}: not shared as before: {a!r:.80} {b!r:.80}")
        return True

    def _compare(self, a: Any, b: Any, where: str) -> None:
        if isinstance(a, SAME_OBJECT):
            same = a is b
        elif type(a) in (float, complex, t.MyFloat):
            same = bits(a) == bits(b)
        elif isinstance(a, ATOMS):
            same = repr(a) == repr(b) and getattr(a, "fold", 0) == getattr(b, "fold", 0)
        else:
            same = self._open(a, b, where)
        if not same:
            raise Different(f"{where}: {a!r:.200} arrived as {b!r:.200}")
        if isinstance(a, SAME_OBJECT + ATOMS):
            return
        names = list(getattr(a, "__dict__", ()))
        if names != list(getattr(b, "__dict__", ())):
            raise Different(f"{where}: attributes {names} arrived as {list(vars(b))}")
        self._add((vars(a)[name] for name in names), (vars(b)[name] for name in names), f"{where}.<dict>")

    def _open(self, a: Any, b: Any, where: str) -> bool:
        """Whether they are equal apart from their parts, which are added to what is to be done."""
        if isinstance(a, tuple | list | collections.deque):
            self._add(a, b, f"{where}[]")
            return len(a) == len(b) and getattr(a, "maxlen", 0) == getattr(b, "maxlen", 0)
        if isinstance(a, dict):
            self._add(a.keys(), b.keys(), f"{where}.keys()")
            self._add(a.values(), b.values(), f"{where}.values()")
            factory = getattr(a, "default_factory", None) is getattr(b, "default_factory", None)
            return len(a) == len(b) and factory
        if isinstance(a, set | frozenset):
            return self._open_set(a, b, where)
        if isinstance(a, slice | range):
            parts = [(x.start, x.stop, x.step) for x in (a, b)]
            self._add(*parts, where)
            return True
        if isinstance(a, BaseException):
            self._open_exception(a, b, where)
            return True
        if isinstance(a, t.Slotted | t.SlottedRecord | t.FrozenSlottedRecord):
            has = [name for name in SLOTS if hasattr(a, name)]
            if has != [name for name in SLOTS if hasattr(b, name)]:
                return False
            self._add((getattr(a, n) for n in has), (getattr(b, n) for n in has), f"{where}.<slots>")
            return True
        if isinstance(a, str | bytes | bytearray | int):
            return bool(a == b)
        return a is b or hasattr(a, "__dict__")

    def _open_set(self, a: Any, b: Any, where: str) -> bool:
        by_key = {(type(each), self._key(each)): each for each in b}
        if len(a) != len(b):
            return False
        for each in a:
            key = (type(each), self._key(each))
            if key not in by_key:
                raise Different(f"{where}: {each!r:.80} is not in {b!r:.200}")
            self.todo.append((each, by_key[key], f"{where}{{}}"))
        return True

    @staticmethod
    def _key(member: Any) -> Any:
        return member.label if isinstance(member, t.Plain) else member

    def _open_exception(self, a: Any, b: Any, where: str) -> None:
        self._add(a.args, b.args, f"{where}.args")
        if isinstance(a, OSError):
            self._add((a.errno, a.filename), (b.errno, b.filename), f"{where}.<OSError>")
        if self.links:
            links = [(e.__cause__, e.__context__, e.__suppress_context__) for e in (a, b)]
            self._add(*links, f"{where}.<links>")

    def _add(self, a: Iterable[Any], b: Iterable[Any], where: str) -> None:
        ours, theirs = list(a), list(b)
        if len(ours) != len(theirs):
            raise Different(f"{where}: {len(ours)} parts arrived as {len(theirs)}")
        self.todo.extend((x, y, where) for x, y in zip(ours, theirs, strict=True))

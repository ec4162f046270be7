"""Hypothesis strategies for graphs of objects: shared parts and cycles, of all types that cross as values.

A graph is made flat: leaves, then nodes that may hold what is there already, then references from what can
be changed to anything. So every drawn value is one, and it shrinks well.
"""

from __future__ import annotations

import array
import collections
import datetime
import enum
import functools
import math
import pathlib
import random
import struct
import types
import zoneinfo
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import _graph_types as t

THRESHOLD = 64 * 1024


def _large(letter: str, more: int, as_bytes: bool) -> Any:
    text = letter * (THRESHOLD - 60 + more)
    return text.encode() if as_bytes else text


def _zones() -> list[zoneinfo.ZoneInfo]:
    found = []
    for name in ("UTC", "Europe/Berlin", "America/St_Johns"):
        try:
            found.append(zoneinfo.ZoneInfo(name))
        except zoneinfo.ZoneInfoNotFoundError:  # no data base of zones here
            continue
    return found


any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)  # lone surrogates too
nans = st.integers(1, 2**51 - 1).map(
    lambda bits: struct.unpack("d", struct.pack("Q", 0x7FF8 << 48 | bits))[0]
)
zones = st.none() | st.sampled_from([datetime.UTC, *_zones()])
offsets = st.integers(-1439, 1439).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m), f"{m}"))
numbers = (
    st.integers(-(2**80), 2**80)
    | st.integers(0, 5000).map(lambda bits: -(1 << bits) + (bits & 1))
    | st.floats()
    | nans
    | st.complex_numbers()
)
payloads = any_text | st.binary(max_size=12) | st.text("ab", max_size=60)
large = st.builds(_large, st.sampled_from("aé€😀"), st.integers(0, 80), st.booleans())
times = (
    st.datetimes(timezones=zones | offsets)
    | st.dates()
    | st.times(timezones=zones | offsets)
    | st.timedeltas()
    | offsets
    | zones
)
arrays = st.builds(
    lambda code, items: array.array(code, items), st.sampled_from("bhilqd"), st.lists(st.integers(-99, 99))
)
singletons: st.SearchStrategy[Any] = st.sampled_from([
    None, True, False, ..., NotImplemented, *t.Color, *t.Level, t.Right.READ, t.Right.READ | t.Right.RUN,
    t.Right(0), ValueError, t.Plain, t.Outer.Inner, dict, type(None), types.FunctionType, t.by_name,
    t.Outer.static, t.Outer.Inner.method, math.sin, len, (), frozenset(), enum.Enum,
])  # fmt: skip
small_lists = st.lists(st.integers(0, 99), max_size=3)
of_subclasses = (
    st.builds(t.MyInt, st.integers())
    | st.builds(t.MyFloat, st.floats())
    | st.builds(t.MyStr, any_text)
    | st.builds(t.MyBytes, st.binary(max_size=9))
    | st.builds(t.MyByteArray, st.binary(max_size=9))
    | st.builds(collections.Counter, st.text("abc", max_size=5))
)
leaves = st.one_of(
    singletons,
    numbers,
    payloads,
    payloads,
    large,
    st.binary(max_size=20).map(bytearray),
    st.integers(0, 40).map(lambda n: bytearray(THRESHOLD + n)),
    times,
    arrays,
    of_subclasses,
    st.uuids(),
    st.decimals(),
    st.fractions(),
    st.sampled_from(["a", "/b/c", "d/../é", "."]).map(pathlib.PurePosixPath)
    | st.sampled_from(["x/y", "/z"]).map(pathlib.Path),
    st.builds(range, st.integers(), st.integers(), st.integers(1, 99)),
)

#: Of value and for good: found again by equality among the members of a set.
_VALUES = (
    str, bytes, int, type(None), bool, datetime.date, datetime.time, datetime.timedelta, pathlib.PurePath,
    enum.Enum, types.FunctionType, type, t.MyInt, t.MyStr, t.MyBytes,
)  # fmt: skip


class Graph:
    """What is there so far of one graph."""

    def __init__(self, found: list[Any]) -> None:
        self.pool: list[Any] = [None, *found]
        #: ids of what may be a member of a set, and of what may be a key.
        self.members = {id(x) for x in self.pool if isinstance(x, _VALUES)}
        self.keys = set(self.members)
        self.exceptions: list[BaseException] = []

    def add(self, obj: Any, parts: list[Any], frozen: bool) -> None:
        if frozen and all(id(x) in self.members for x in parts):
            self.members.add(id(obj))
            self.keys.add(id(obj))
        if type(obj) is t.Plain:  # by identity
            self.members.add(id(obj))
            self.keys.add(id(obj))
        if isinstance(obj, BaseException):
            self.exceptions.append(obj)
        self.pool.append(obj)

    def value(self, at: int) -> Any:
        return self.pool[at % len(self.pool)]

    def key(self, at: int) -> Any:
        """The next one that can be a key; there is None."""
        return self._next(at, self.keys)

    def member(self, at: int) -> Any:
        return self._next(at, self.members)

    def _next(self, at: int, fit: set[int]) -> Any:
        for i in range(len(self.pool)):
            if id(found := self.value(at + i)) in fit:
                return found
        return None


def _set_of(kind: Any, graph: Graph, at: list[int]) -> Any:
    parts = [graph.member(i) for i in at]
    # Members by identity are looked for in sets themselves, not inside of frozen members.
    graph.add(kind(parts), [*parts, None] if not any(type(x) is t.Plain for x in parts) else [[]], True)


def _frozen(kind: Callable[..., Any], graph: Graph, at: list[int]) -> None:
    """A record, whose hash is there once its fields are: what can lead back to it must not be in them."""
    parts = [graph.value(i) for i in at]
    graph.add(kind(parts), parts, all(type(x) in (str, bytes, int, bool, types.NoneType) for x in parts))


def _tuple(kind: Callable[..., Any], graph: Graph, at: list[int]) -> None:
    parts = [graph.value(i) for i in at]
    made = kind(parts)
    keys_only = all(id(x) in graph.keys for x in parts)
    graph.add(made, [[]] if any(type(x) is t.Plain for x in parts) else parts, True)
    if keys_only:
        graph.keys.add(id(made))


def _empty(kind: Callable[[], Any], graph: Graph, at: list[int]) -> None:
    graph.add(kind(), [], False)


def _plain(graph: Graph, at: list[int]) -> None:
    graph.add(t.Plain(len(graph.pool)), [], False)


def _deque(graph: Graph, at: list[int]) -> None:
    graph.add(collections.deque(maxlen=at[0] % 5 if len(at) > 1 else None), [], False)


def _exception(kind: type[BaseException], graph: Graph, at: list[int]) -> None:
    graph.add(kind(*(graph.value(i) for i in at)), [], False)


def _group(graph: Graph, at: list[int]) -> None:
    members = [e for e in graph.exceptions if isinstance(e, Exception)]
    if members:
        graph.add(ExceptionGroup("group", [members[i % len(members)] for i in [0, *at]]), [], False)


def _os_error(graph: Graph, at: list[int]) -> None:
    graph.add(OSError(2 + len(at), "text", "the/file"), [], False)


def _pair(kind: Callable[[Any, Any], Any]) -> Callable[[list[Any]], Any]:
    return lambda parts: kind(parts[0] if parts else 1, parts[-1] if parts else "two")


def _slice(parts: list[Any]) -> slice:
    return slice(*[*parts, None][:3])


_part = functools.partial
MAKERS: list[Callable[[Graph, list[int]], None]] = [
    *(_part(_tuple, kind) for kind in (tuple, tuple, t.MyTuple, _pair(t.Pair))),
    *(_part(_frozen, kind) for kind in (_pair(t.FrozenRecord), _pair(t.FrozenSlottedRecord))),
    *(_part(_set_of, kind) for kind in (frozenset, t.MyFrozenSet)),
    lambda graph, at: graph.add(_slice([graph.value(i) for i in at]), [[]], False),
    *(_part(_empty, kind) for kind in (list, list, dict, dict, set, t.MyList, t.MyDict, t.MySet)),
    *(_part(_empty, kind) for kind in (t.Slotted, t.SlottedToo, t.Record, t.SlottedRecord)),
    *(_part(_empty, kind) for kind in (collections.OrderedDict, types.SimpleNamespace)),
    lambda graph, at: graph.add(collections.defaultdict(list), [], False),
    _plain,
    _plain,
    _deque,
    *(_part(_exception, kind) for kind in (ValueError, t.Failure, KeyError, KeyboardInterrupt)),
    _os_error,
    _group,
]


def wire(graph: Graph, target: Any, first: int, second: int, links: bool) -> None:
    """Make `target`, if it can be changed, refer to something."""
    value = graph.value(first)
    match target:
        case list() | collections.deque():
            target.append(value)
        case collections.Counter():
            pass
        case dict():
            target[graph.key(second)] = value
        case set():
            target.add(graph.member(first))
        case BaseException():
            _wire_exception(graph, target, value, second, links)
        case t.SlottedToo() if second % 3 == 0:
            target.third = value  # type: ignore[attr-defined]
        case t.Slotted() | t.Record() | t.SlottedRecord():
            setattr(target, ("first", "second")[second % 2], value)
        case t.Plain() | types.SimpleNamespace() | t.MyTuple() | t.MyStr() | t.MyInt() | t.MyFrozenSet():
            setattr(target, ("first", "second", "not an identifier")[second % 3], value)


def _wire_exception(graph: Graph, target: BaseException, value: Any, second: int, links: bool) -> None:
    other = graph.exceptions[second % len(graph.exceptions)]
    if second % 5 == 0:
        target.add_note("a note")
    elif second % 5 == 1 and isinstance(target, t.Failure):
        target.attribute = value  # type: ignore[attr-defined]
    elif links and second % 5 == 2 and other is not target:
        target.__cause__ = other
    elif links and second % 5 == 3 and other is not target:
        target.__context__ = other


def built(found: list[Any], program: bytes, links: bool) -> Any:
    """The graph that `program` makes of the leaves `found`: bytes, so that drawing one is quick."""
    graph = Graph(found)
    leaf_count = len(graph.pool)
    ops = iter(program)
    for _ in range(next(ops) % 12 + 3):
        make, count = MAKERS[next(ops, 0) % len(MAKERS)], next(ops, 0) % 4
        make(graph, [next(ops, 0) for _ in range(count)])
    nodes = graph.pool[leaf_count:] or graph.pool
    for target in ops:
        wire(graph, nodes[target % len(nodes)], next(ops, 0), next(ops, 0), links)
    # Several roots make it likely that sharing is seen; one alone, that a cycle goes through it.
    return nodes[-1] if program[0] >= 192 else list(reversed(nodes))


def graphs(links: bool = True) -> st.SearchStrategy[Any]:
    """Values; `links`: exceptions may have causes and contexts, which pickle does not keep."""
    return st.builds(
        built, st.lists(leaves, max_size=5), st.binary(min_size=70, max_size=140), st.just(links)
    )


def eight_graphs() -> st.SearchStrategy[list[Any]]:
    """Eight values of the same leaves at a time: ten times as fast, but these do not shrink."""

    def made(found: list[Any], seed: int) -> list[Any]:
        numbers = random.Random(seed)
        return [built(found, numbers.randbytes(numbers.randrange(20, 160)), True) for _ in range(8)]

    return st.builds(made, st.lists(leaves, max_size=5), st.integers(0, 2**64 - 1))

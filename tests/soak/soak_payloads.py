"""The model: what a payload must look like follows from the seed and its serial number alone.

`make(seed, serial)` builds a value, `expected(seed, serial)` its checksum, from a value of its own that never
crossed. Nothing here uses isthmus, but for the kinds that are objects of isthmus themselves.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import pathlib
import random
import uuid
import zlib
from collections.abc import Callable
from typing import Any

import isthmus

#: Around the size from which payloads are shared, and from two pages to a megabyte.
SIZES = (65_471, 65_472, 65_536, 65_600, 70_000, 70_001, 100_000, 131_000, 200_000, 1_000_000)
UNIT = 1009  # bytes of noise that a large payload repeats: prime, so that all its pages differ


class Color(enum.Enum):
    RED = 1
    GREEN = "two"


class Point(collections.namedtuple("Point", "x y")):
    __slots__ = ()


@dataclasses.dataclass
class Record:
    number: int
    data: bytes
    more: list[Any] = dataclasses.field(default_factory=list)


class Registered:
    """Crosses by `isthmus.register`."""

    def __init__(self, text: str, data: bytes) -> None:
        self.text = text
        self.data = data


class Crossing:
    """Crosses by its own `__cross__`."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def __cross__(self) -> tuple[Any, ...]:
        return Crossing, (self.parts,)


class Reduced:
    """Crosses by `__reduce__`, with a state."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.held: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Reduced, (self.key,), {"held": self.held}


def register_types() -> None:
    """Once in each interpreter."""
    isthmus.register(Registered, lambda each: (each.text, each.data), lambda parts: Registered(*parts))


class Mismatch(Exception):
    """What arrived, or is held, is not what was made."""


def noise(r: random.Random, size: int) -> bytes:
    unit = r.randbytes(UNIT)
    return (unit * (size // UNIT + 1))[:size]


def text(r: random.Random, size: int) -> str:
    letters = r.choice(("abcdefg", "abcé", "abé€", "ab€😀"))
    return ("".join(r.choices(letters, k=97)) * (size // 97 + 1))[:size]


def small(r: random.Random) -> Any:
    return r.choice(
        (None, True, 7, -(1 << 200), 2.5, 1 + 2j, b"small", "klein é", (1, (2,)), range(9), slice(1, None, 2))
    )


def size_of(r: random.Random) -> int:
    return r.choice(SIZES) + r.randrange(8)


def tree(r: random.Random, depth: int = 3) -> Any:
    if depth == 0 or r.random() < 0.2:
        return small(r) if r.random() < 0.9 else noise(r, 66_000)
    width = r.randrange(1, 6)
    if r.random() < 0.5:
        return [tree(r, depth - 1) for _ in range(width)]
    return {f"key{n}": tree(r, depth - 1) for n in range(width)}


def circle(r: random.Random) -> Any:
    """Circles and shared parts, large leaves among them."""
    leaf = noise(r, size_of(r))
    ring: list[Any] = [leaf, {"leaf": leaf, "again": None}]
    ring[1]["again"] = ring
    ring += [ring, (ring, leaf), collections.deque([leaf], 3)]
    return ring


def objects(r: random.Random) -> Any:
    data = noise(r, r.choice((10, 66_000)))
    reduced = Reduced(r.randrange(100))
    reduced.held = [reduced, data]
    return [
        Record(1, data, [data]),
        Point(1, data),
        Color.GREEN,
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        uuid.UUID(int=r.getrandbits(128)),
        decimal.Decimal("1.25"),
        fractions.Fraction(1, 3),
        pathlib.PurePosixPath("a/b"),
        frozenset({1, "zwei"}),
        {1, 2},
        reduced,
    ]


def failure(r: random.Random) -> Any:
    error = ValueError("why", r.randrange(100), noise(r, r.choice((10, 66_000))))
    error.add_note("a note")
    error.__cause__ = KeyError("cause")
    return error


KINDS: dict[str, Callable[[random.Random], Any]] = {
    "small": small,
    "bytes": lambda r: noise(r, size_of(r)),
    "str": lambda r: text(r, size_of(r)),
    "tree": tree,
    "circle": circle,
    "objects": objects,
    "registered": lambda r: Registered(text(r, 70_000), noise(r, 70_000)),
    "crossing": lambda r: Crossing([noise(r, 70_000), small(r)]),
    "bytearray": lambda r: bytearray(noise(r, size_of(r))),
    "array": lambda r: array.array("d", [r.random()] * r.choice((5, 20_000))),
    "stream": lambda r: io.BytesIO(noise(r, r.choice((10, 66_000)))),
    "failure": failure,
    "pair of texts": lambda r: (text(r, size_of(r)), text(r, 5)),
}
#: Drawn as often as they stand here: the twins are what the soak is for.
DRAWN = (*KINDS, "bytes", "bytes", "str", "str", "circle", "pair of texts")


def kind_of(serial: int) -> str:
    return DRAWN[serial % len(DRAWN)]


def make(seed: int, serial: int) -> Any:
    return KINDS[kind_of(serial)](random.Random(f"{seed}:{serial}"))


def leaf_sum(value: Any, total: int) -> int | None:
    """The checksum with what has no parts; None if it has some."""
    if isinstance(value, str):
        found: Any = value.encode()
    elif isinstance(value, (bytes, bytearray)):
        found = value
    elif isinstance(value, io.BytesIO):
        found = value.getvalue()
    elif isinstance(value, array.array):
        found = value.tobytes()
    else:
        return None
    return zlib.crc32(found, zlib.crc32(type(value).__name__.encode(), total))


def parts_of(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        return [part for item in value.items() for part in item]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (list, tuple, collections.deque)):
        return list(value)
    if isinstance(value, enum.Enum):
        return [value.name]
    if isinstance(value, BaseException):
        return [value.args, getattr(value, "__notes__", None), value.__cause__]
    if isinstance(value, (Record, Registered, Crossing, Reduced)):
        return [vars(value)]
    return None


def checksum(value: Any) -> int:
    """Of types, contents, and which parts are one object; without recursion."""
    total = 0
    seen: dict[int, int] = {}
    keep: list[Any] = []  # identities stay unique while their objects live
    todo = [value]
    while todo:
        part = todo.pop()
        found = leaf_sum(part, total)
        parts = parts_of(part)
        if (found is not None and len(part_bytes(part)) > UNIT) or parts:
            if id(part) in seen:
                total = zlib.crc32(b"seen %d" % seen[id(part)], total)
                continue
            seen[id(part)] = len(seen)
            keep.append(part)
        if found is not None:
            total = found
        elif parts is None:
            total = zlib.crc32(f"{type(part).__name__} {part!r}".encode(), total)
        else:
            total = zlib.crc32(f"{type(part).__name__} {len(parts)}".encode(), total)
            todo += reversed(parts)
    return total


def part_bytes(part: Any) -> Any:
    return part.getbuffer() if isinstance(part, io.BytesIO) else part


@functools.lru_cache(maxsize=512)
def expected(seed: int, serial: int) -> int:
    return checksum(make(seed, serial))


def check(seed: int, serial: int, value: Any, when: str) -> None:
    found = checksum(value)
    if found != expected(seed, serial):
        raise Mismatch(
            f"payload {serial} ({kind_of(serial)}), {when}: checksum {found:#x},"
            f" the model's is {expected(seed, serial):#x}"
        )


def pattern(seed: int, serial: int, size: int) -> bytes:
    """The bytes of a view or a SharedBuffer with this serial number."""
    return noise(random.Random(f"{seed}:memory:{serial}"), size)


def check_memory(seed: int, serial: int, memory: memoryview, when: str) -> None:
    if bytes(memory) != pattern(seed, serial, memory.nbytes):
        raise Mismatch(f"memory {serial} of {memory.nbytes} bytes, {when}: not what was written")

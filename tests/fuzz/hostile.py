"""Inputs of the decoder by hand: what each must come to. They are tried first, and are seeds as well."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

_WIRE = Path(__file__).resolve().parents[2] / "native" / "core" / "wire.hpp"


def _tags() -> dict[str, int]:
    body = re.search(r"enum class tag : std::uint8_t \{(.*?)\};", _WIRE.read_text(), re.DOTALL)
    assert body is not None
    names = re.findall(r"\w+", re.sub(r"//.*", "", body[1]))
    return {name: number for number, name in enumerate(names)}


TAGS = _tags()
REMEMBERED = 0x80
FRESH, ITEMS, PAIRS, SETTER, STATE = 1, 2, 4, 8, 16
MADE, KNOWN = b"\0", b"\1"


def tag(name: str, *operands: int, remember: bool = False) -> bytes:
    """One tag with operands of a byte."""
    return bytes([TAGS[name] | (REMEMBERED if remember else 0), *operands])


def huge(count: int) -> bytes:
    """A count of 8 bytes."""
    return b"\xff" + struct.pack("=Q", count)


def known_as(name: str) -> bytes:
    """A global, which the palette has under this name."""
    return tag("global") + tag("ascii", 1) + b"m" + tag("ascii", len(name)) + name.encode()


NONE = tag("nothing")
EMPTY = tag("tuple", 0)

# What must be refused as making no sense, without anything left behind.
REFUSED: dict[str, bytes] = {
    "nothing at all": b"",
    "an unknown tag": b"\x7f",
    "a list longer than memory": tag("list") + huge(2**60),
    "a dict longer than memory": tag("dict") + huge(2**63),
    "bytes longer than memory": tag("octets") + huge(2**64 - 1) + b"abc",
    "a text whose size wraps": tag("text", 4) + huge(2**62) + b"abcd",
    "lists that all claim the rest": b"".join(tag("list") + huge(size) for size in range(2000, 0, -9)).ljust(
        2010, b"\0"
    ),
    "a character that is none": tag("text", 4, 1) + struct.pack("=I", 0x110000),
    "characters that are none": tag("text", 4, 2) + struct.pack("=II", 0x1F600, 2**32 - 1),
    "a form that is none": tag("text", 3, 1) + b"abc",
    "a number not given yet": tag("again", 0),
    "a tuple inside itself": tag("tuple", 1, remember=True) + tag("again", 0),
    "a frozenset inside itself": tag("frozenset", 1, remember=True) + tag("again", 0),
    "stop alone": tag("stop"),
    "stop in a list": tag("list", 1) + tag("stop"),
    "stop instead of a name": tag("reduced", ITEMS)
    + known_as("Items")
    + EMPTY
    + MADE
    + tag("global")
    + tag("stop"),
    "stop after a key": tag("reduced", PAIRS) + known_as("Mapping") + EMPTY + MADE + NONE + tag("stop"),
    "stop instead of a callable": tag("reduced", ITEMS) + tag("stop"),
    "a known tuple that is none": tag("known_tuple", 0) + b"\5",
    "a name that is a list": tag("global") + tag("list", 0) + NONE,
    "a share that is not there": tag("twin"),
    "an attachment that is not there": tag("attachment"),
    "an instance of no class": tag("instance") + NONE + MADE + b"\0",
    "an instance that is a class": tag("instance")
    + known_as("Makes")
    + MADE
    + b"\1"
    + tag("ascii", 1)
    + b"a"
    + NONE,
    "a new object of no class": tag("reduced", FRESH) + NONE + EMPTY + MADE,
    "arguments that are no tuple": tag("reduced", 0) + known_as("int") + NONE + MADE,
}

# What user's code, or CPython, refuses.
RAISES: dict[str, tuple[type[BaseException], bytes]] = {
    "a set with a list in it": (TypeError, tag("set", 1) + tag("list", 0)),
    "a dict with a list for a key": (TypeError, tag("dict", 1) + tag("list", 0) + NONE),
    "a frozenset with a list in it": (TypeError, tag("frozenset", 1) + tag("list", 0)),
    "a hash that fails": (
        ValueError,
        tag("set", 1) + tag("instance") + known_as("Unhashable") + MADE + b"\0",
    ),
    "a range of nothing": (TypeError, tag("range") + NONE * 3),
    "something that can't be called": (TypeError, tag("reduced", 0) + NONE + EMPTY + MADE),
    "a callable that fails": (RuntimeError, tag("reduced", 0) + known_as("fails") + EMPTY + MADE),
    "a type without a constructor": (
        TypeError,
        tag("reduced", FRESH) + known_as("generator") + EMPTY + MADE,
    ),
    "attributes without a dict": (
        AttributeError,
        tag("instance") + known_as("object") + MADE + b"\1" + tag("ascii", 1) + b"a" + NONE,
    ),
    "a state that is an int": (
        TypeError,
        tag("reduced", STATE) + known_as("Plain") + EMPTY + MADE + tag("int8", 1),
    ),
}


def _is_its_own(value: object) -> bool:
    return isinstance(value, list) and value[0] is value


def _is_emptied(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= 2


# What comes to a value.
GIVES: dict[str, tuple[Callable[[object], bool], bytes]] = {
    "a list in itself": (_is_its_own, tag("list", 1, remember=True) + tag("again", 0)),
    "a dict that its keys empty": (
        _is_emptied,
        tag("dict", 2, remember=True)
        + 2
        * (
            tag("instance")
            + known_as("Meddler")
            + MADE
            + b"\1"
            + tag("name", 1, 6)
            + b"target"
            + tag("again", 0)
            + NONE
        ),
    ),
    "a tuple of the last character": (
        lambda value: value == (chr(0x10FFFF),),
        tag("tuple", 1) + tag("text", 4, 1) + struct.pack("=I", 0x10FFFF),
    ),
    "a setter and no state": (
        lambda value: isinstance(value, list) and len(value) == 2,
        tag("list", 2) + tag("reduced", SETTER) + known_as("Plain") + EMPTY + MADE + tag("list", 0) + NONE,
    ),
    "no bytes of an int": (lambda value: value == 0, tag("big", 0)),
}

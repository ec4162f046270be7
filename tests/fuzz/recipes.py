"""The round trip: values that a string of bytes describes, and whether two of them are alike."""

from __future__ import annotations

import struct
from typing import Any

from palette import Items, Plain, Slotted, Stateful

_LARGE = bytes(100_000)  # crosses as a twin
_KINDS = (list, tuple, dict, set, frozenset, Plain, Stateful, Items, Slotted, slice)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _leaf(which: int, data: bytes) -> Any:
    match which % 10:
        case 0:
            return (None, True, False, ..., NotImplemented, (), "", b"", _LARGE)[len(data) % 9]
        case 1:
            return _number(data)
        case 2:
            return struct.unpack("d", data[:8].ljust(8, b"\0"))[0]
        case 3:
            return data.decode("latin-1")
        case 4:
            return data.decode("utf-16", "surrogatepass") if len(data) % 2 == 0 else str(data)
        case 5:
            return "".join(chr(0x10000 + byte) for byte in data)
        case 6:
            return bytes(data)
        case 7:
            return bytearray(data)
        case 8:
            return complex(len(data), -0.0)
        case _:
            return range(len(data), _number(data), 3)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _made(kind: Any, parts: list[Any]) -> Any:
    if kind in (set, frozenset):
        return kind(part for part in parts if _hashable(part))
    if kind is dict:
        return {key: value for key, value in zip(parts[::2], parts[1::2], strict=False) if _hashable(key)}
    if kind is slice:
        return slice(*[*parts, None, None, None][:3])
    if kind in (list, tuple):
        return kind(parts)
    made = kind()
    if kind is Items:
        made.extend(parts)
    for name, part in zip("ab", parts, strict=False):
        setattr(made, name, part)
    return made


def _put_in(target: Any, part: Any) -> None:
    """How circles come about."""
    if isinstance(target, list):
        target.append(part)
    elif isinstance(target, dict):
        target[len(target)] = part
    elif isinstance(target, (Plain, Stateful, Slotted)):
        target.a = part


def build(recipe: bytes) -> Any:
    """A stack of values; each byte of the recipe puts one on it, or makes one of those on top."""
    stack: list[Any] = [[]]
    at = 0
    while at < len(recipe):
        what, operand = recipe[at] >> 6, recipe[at] & 63
        at += 1
        if what == 0:
            size = operand // 10
            stack.append(_leaf(operand, recipe[at : at + size]))
            at += size
        elif what == 1:
            count = min(operand // len(_KINDS), len(stack) - 1)
            parts = stack[len(stack) - count :]
            del stack[len(stack) - count :]
            stack.append(_made(_KINDS[operand % len(_KINDS)], parts))
        elif what == 2:
            stack.append(stack[operand % len(stack)])
        else:
            _put_in(stack[operand % len(stack)], stack[-1])
    return stack


def _parts(value: Any) -> list[Any] | None:
    """What is in it, in order; None if it is compared as a whole."""
    kind = type(value)
    if kind in (list, tuple):
        return list(value)
    if kind is dict:
        return [part for item in value.items() for part in item]
    if kind is slice:
        return [value.start, value.stop, value.step]
    if kind in (Plain, Stateful):
        return [vars(value)]
    if kind is Items:
        return [*value, vars(value)]
    if kind is Slotted:
        return [getattr(value, name, "nothing") for name in ("a", "b")]
    return None


def same(sent: Any, received: Any) -> bool:
    """Alike: types, values and what refers to what. Members of sets are only counted, by type."""
    pairs: dict[int, Any] = {}
    back: dict[int, Any] = {}
    todo = [(sent, received)]
    while todo:
        a, b = todo.pop()
        if type(a) is not type(b):
            return False
        a_parts, b_parts = _parts(a), _parts(b)
        if isinstance(a, (set, frozenset)):
            if sorted(str(type(x)) for x in a) != sorted(str(type(x)) for x in b):
                return False
            a_parts = b_parts = []
        if a_parts is None or b_parts is None:
            if isinstance(a, (bytes, str, bytearray)):
                if a != b:
                    return False
            elif repr(a) != repr(b):  # tells -0.0, and NaN is like itself
                return False
            continue
        if a == () or (isinstance(a, frozenset) and not a):
            continue  # there is but one
        if (id(a) in pairs) != (id(b) in back):
            return False
        if id(a) in pairs:
            if pairs[id(a)] is not b:
                return False
            continue
        pairs[id(a)], back[id(b)] = b, a
        if len(a_parts) != len(b_parts):
            return False
        todo += zip(a_parts, b_parts, strict=True)
    return True

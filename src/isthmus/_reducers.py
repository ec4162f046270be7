"""Objects that cross in a way of ours where pickle has none, or another: the one entry for layer crossing.

Each way is a reduce value as pickle knows them: `(callable, args[, state[, items[, pairs[, setter]]]])`, the
name of a global, or NotImplemented for the object's own (`copyreg`, `__reduce_ex__`).
"""

from __future__ import annotations

import sys
from types import CellType, FunctionType, MappingProxyType

from isthmus import _functions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    type _Way = Callable[[Any, dict[Any, Any]], Any]

_known: dict[type, _Way] = {}
_looked_at: frozenset[str] = frozenset()
_SOURCES = ("socket", "ssl", "dataclasses", "functools", "typing")  # modules whose import adds types


def _proxy(proxy: MappingProxyType[Any, Any], memo: dict[Any, Any]) -> tuple[Any, ...]:
    return _made_proxy, (dict(proxy),)


def _made_proxy(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def _fill_types() -> None:
    from isthmus import _class_parts, _descriptors

    _known[MappingProxyType] = _proxy
    _class_parts.add_types(_known)
    _descriptors.add_types(_known)


def types() -> dict[type, _Way]:
    """The exact types that `reduce` is to be asked about, besides functions, cells, classes and exceptions.

    Ask once for each message: it knows types of modules only once they are imported. The dict is always the
    same one.
    """
    global _looked_at
    # No generator expression: asked for each message, and CPython 3.13 frees its code once too often if there
    # is no memory for it.
    there = [name for name in _SOURCES if name in sys.modules]
    if not _known or not _looked_at.issuperset(there):
        _looked_at = frozenset(there)
        _fill_types()
    return _known


def concerns(obj: object) -> bool:
    """Whether `reduce` is to be asked about `obj`."""
    kind = type(obj)
    return isinstance(obj, (FunctionType, CellType, type, BaseException)) or (
        type(kind) is type and kind in types()
    )


def reduce(obj: Any, memo: dict[Any, Any], whole: bool = True) -> Any:
    """How to take `obj` apart. `memo`: a dict for each message, empty at its start.

    Raises TypeError (NotShareableError is one) if it can't cross, OSError if there is no descriptor left.
    `whole` is false for parts of spare parts, see `_functions`.
    """
    if isinstance(obj, (FunctionType, CellType)):
        return _functions.reduce(obj, memo, whole)
    if isinstance(obj, type):
        if _functions.is_known_by_name(obj):
            return obj.__qualname__
        from isthmus import _classes

        return _classes.reduce(obj, memo, whole)
    if isinstance(obj, BaseException):
        from isthmus import _exception_values

        return _exception_values.reduce(obj, memo)
    way = types().get(type(obj))
    return NotImplemented if way is None else way(obj, memo)


def parts(obj: object) -> Iterator[tuple[str, object]]:
    """What of an object may be unable to cross, and how to call it."""
    if isinstance(obj, (FunctionType, _functions.Script)):
        yield from _functions.parts(obj)
    elif isinstance(obj, type):
        if not _functions.is_known_by_name(obj):
            from isthmus import _classes

            yield from _classes.parts(obj)
    elif isinstance(obj, BaseException):
        from isthmus import _exception_values

        yield from _exception_values.parts(obj)
    elif isinstance(obj, (staticmethod, classmethod)):
        yield "", obj.__func__
    elif isinstance(obj, property):
        yield from ((f".{name}", getattr(obj, name)) for name in ("fget", "fset", "fdel"))
    elif isinstance(obj, MappingProxyType):
        yield from ((f"[{key!r}]", value) for key, value in obj.items())
    elif concerns(obj):  # what it holds is not asked for
        if hasattr(obj, "__wrapped__"):
            yield ".__wrapped__", obj.__wrapped__
    else:
        yield f"<class {type(obj).__qualname__}>", type(obj)
        yield from ((f".{name}", part) for name, part in getattr(obj, "__dict__", {}).items())
        for name in _slots_of(type(obj)):
            if hasattr(obj, name):
                yield f".{name}", getattr(obj, name)


def _slots_of(kind: type) -> list[str]:
    import copyreg

    names: list[str] = copyreg._slotnames(kind)  # type: ignore[attr-defined]
    return names

"""Exceptions as values: sent, put, passed as arguments or inside containers.

One arrives with its class, arguments, attributes, notes, cause and context, and with a traceback of the same
lines: frames can't cross, so bare ones stand for them, which have the place in the source and nothing else.
(An exception that a `run` raises is described instead, see `_remote`: its class may not be known there.)

No `__init__` or `__new__` of a Python class runs on arrival: what these would set arrives by itself. Only a
class that says itself how it is taken apart (`__reduce__`) is rebuilt that way.
"""

from __future__ import annotations

import copyreg
import sys
from types import CodeType, FunctionType, MemberDescriptorType, TracebackType

from isthmus._errors import NotShareableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    # file, name, qualified name, first line of the code, line; then end line, column, end column if known
    type _Place = tuple[str, str, str, int, int, int | None, int | None, int | None]

_HEAP_TYPE = 1 << 9
_MAX_PLACES = 1000  # of a traceback: the first and the last half of them
_LINKS = ("__cause__", "__context__", "__suppress_context__", "__traceback__")


def link(exc: BaseException, name: str) -> Any:
    """One of the attributes that every exception has, whatever its class makes of the name."""
    return vars(BaseException)[name].__get__(exc)


# ---- here


def _base_in_c(kind: type[BaseException]) -> type[BaseException]:
    return next(each for each in kind.__mro__ if not each.__flags__ & _HEAP_TYPE)


def _says_itself(kind: type[BaseException]) -> bool:
    """Whether it has a way of its own of being taken apart."""
    if kind in copyreg.dispatch_table:
        return True
    for each in kind.__mro__:
        if not each.__flags__ & _HEAP_TYPE:
            return False
        if vars(each).keys() & {"__reduce__", "__reduce_ex__", "__getstate__"}:
            return True
    return False


_member_names: dict[type, tuple[str, ...]] = {}  # of classes made in C, which never go


def _member_names_of(base: type[BaseException]) -> tuple[str, ...]:
    if base not in _member_names:
        _member_names[base] = tuple(
            name
            for kind in base.__mro__
            for name, member in vars(kind).items()
            if isinstance(member, MemberDescriptorType) and not name.startswith("__")
        )
    return _member_names[base]


def _members(exc: BaseException) -> dict[str, Any]:
    """What C keeps of it outside of `args`, as far as it is plain: `name` of a NameError, `path`; slots."""
    found: dict[str, Any] = {}
    for name in _member_names_of(_base_in_c(type(exc))):
        value = getattr(exc, name, None)
        if type(value) in (str, int, bytes, bool):
            found[name] = value
    slots = type(exc).__flags__ & _HEAP_TYPE
    for name in copyreg._slotnames(type(exc)) if slots else ():  # type: ignore[attr-defined]
        try:
            found[name] = object.__getattribute__(exc, name)
        except AttributeError:  # never set
            continue
    return found


def _places(traceback: TracebackType | None) -> tuple[_Place, ...]:
    places: list[_Place] = []
    while traceback is not None:
        code, line, at = traceback.tb_frame.f_code, traceback.tb_lineno, traceback.tb_lasti
        positions = None
        if at >= 0:
            positions = next((p for i, p in enumerate(code.co_positions()) if i == at // 2), None)
        _, *others = positions or (None, None, None, None)
        places.append(
            (code.co_filename, code.co_name, code.co_qualname, code.co_firstlineno, line or 0, *others)  # type: ignore[arg-type]
        )
        traceback = traceback.tb_next
    if len(places) > _MAX_PLACES:
        places[_MAX_PLACES // 2 : -_MAX_PLACES // 2] = []
    return tuple(places)


def _construction(exc: BaseException, memo: dict[Any, Any]) -> tuple[Any, ...]:
    kind = type(exc)
    if isinstance(exc, BaseExceptionGroup):
        members = [_bare(each, memo) for each in exc.exceptions]
        return _made, (kind, BaseExceptionGroup, (exc.message, members), None)
    # That of OSError has the names of files, which its `args` have not.
    args = exc.__reduce__()[1] if isinstance(exc, OSError) else exc.args
    return _made, (kind, _base_in_c(kind), args, exc.args if args is not exc.args else None)


def _taken_apart(exc: BaseException) -> tuple[Any, ...]:
    """By its class's own way."""
    kind = type(exc)
    by_type = copyreg.dispatch_table.get(kind)
    given = by_type(exc) if by_type is not None else exc.__reduce_ex__(5)
    if not isinstance(given, tuple):
        raise TypeError(f"{kind.__qualname__}.__reduce__ returned the name of a global")
    return (*given, None, None, None, None)[:6]


class _Bare:
    """A member of a group without what it is linked to, the group perhaps."""

    def __init__(self, exc: BaseException, made: tuple[Any, ...]) -> None:
        self.exc = exc
        self.made = made

    def __reduce__(self) -> Any:
        return self.made


def _bare(exc: BaseException, memo: dict[Any, Any]) -> object:
    if id(exc) in memo.setdefault("exceptions", {}) or _says_itself(type(exc)):
        return exc  # it comes before its group
    bares = memo.setdefault("bare exceptions", {})
    if id(exc) not in bares:
        bares[id(exc)] = _Bare(exc, _construction(exc, memo))
    return bares[id(exc)]


def reduce(exc: BaseException, memo: dict[Any, Any]) -> tuple[Any, ...]:
    """The reduce value of an exception. `memo` has what this message has of exceptions so far."""
    memo.setdefault("exceptions", {})[id(exc)] = exc
    known = vars(exc) if hasattr(exc, "__dict__") else {}
    links = (
        link(exc, "__cause__"),
        link(exc, "__context__"),
        link(exc, "__suppress_context__"),
        _places(link(exc, "__traceback__")),
    )
    if _says_itself(type(exc)):
        call, args, state, items, pairs, setter = _taken_apart(exc)
        notes = known.get("__notes__")
        made = _called, (type(exc).__qualname__, call, args)
        return *made, (state, setter, {}, notes, links), items, pairs, _fill
    bare = memo.get("bare exceptions", {}).get(id(exc))
    made = (_same, (bare,)) if bare is not None else _construction(exc, memo)
    members: tuple[BaseException, ...] = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
    state = dict(known), None, _members(exc), None, links
    return *made, (*state, members), None, None, _fill


def parts(exc: BaseException) -> Iterator[tuple[str, object]]:
    """What of an exception may be unable to cross, and how to call it."""
    yield f"<class {type(exc).__qualname__}>", type(exc)
    if isinstance(exc, BaseExceptionGroup):
        yield from ((f".exceptions[{i}]", each) for i, each in enumerate(exc.exceptions))
    else:
        yield from ((f".args[{i}]", each) for i, each in enumerate(exc.args))
    yield from ((f".{name}", value) for name, value in getattr(exc, "__dict__", {}).items())
    yield from ((f".{name}", link(exc, name)) for name in ("__cause__", "__context__"))


# ---- there


def _same(made: BaseException) -> BaseException:
    return made


def _made(
    kind: type[BaseException], base: type[BaseException], args: tuple[Any, ...], shown: tuple[Any, ...] | None
) -> BaseException:
    exc = base.__new__(kind, *args)
    base.__init__(exc, *args)
    if shown is not None:
        exc.args = shown
    return exc


def _called(name: str, call: Any, args: tuple[Any, ...]) -> BaseException:
    try:
        exc = call(*args)
    except Exception as error:
        text = f"{name} can't be rebuilt here from what its __reduce__ returned ({error!r})"
        raise NotShareableError(text) from error
    if not isinstance(exc, BaseException):
        raise NotShareableError(f"{name} can't be rebuilt here: its __reduce__ leads to no exception")
    return exc


def _fill(exc: BaseException, given: tuple[Any, ...]) -> None:
    state, setter, members, notes, links, *_ = given
    if setter is not None:
        setter(exc, state)
    elif state:
        exc.__setstate__(state)
    for name, value in members.items():
        try:
            setattr(exc, name, value)
        except (AttributeError, TypeError):  # read-only
            continue
    if notes is not None and not hasattr(exc, "__notes__"):
        exc.__notes__ = notes
    cause, context, suppressed, places = links
    for name, value in zip(_LINKS, (cause, context, suppressed, _traceback(places)), strict=True):
        vars(BaseException)[name].__set__(exc, value)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x3F:
        out.append(0x40 | (n & 0x3F))
        n >>= 6
    out.append(n)
    return bytes(out)


def _location_table(code: CodeType, place: _Place) -> bytes:
    """A table of positions (CPython's Objects/locations.md) that gives each instruction this place."""
    first, line, end, column, end_column = place[3:]
    if end is None or column is None or end_column is None or end < line:
        kind, span = 13, b""  # a line without columns
    else:
        kind, span = 14, _varint(end - line) + _varint(column + 1) + _varint(end_column + 1)
    table = bytearray()
    step = line - first  # from the entry before, to begin with from the first line
    for start in range(0, len(code.co_code) // 2, 8):
        units = min(8, len(code.co_code) // 2 - start)
        table.append(0x80 | (kind << 3) | (units - 1))
        table += _varint(-step << 1 | 1 if step < 0 else step << 1) + span
        step = 0
    return bytes(table)


def _stand_in(get_frame: Any) -> Any:
    return get_frame()


def _frame(place: _Place) -> FrameType:
    code = _stand_in.__code__
    code = code.replace(
        co_filename=place[0],
        co_name=place[1],
        co_qualname=place[2],
        co_firstlineno=place[3],
        co_linetable=_location_table(code, place),
    )
    made: FrameType = FunctionType(code, {})(sys._getframe)
    return made


def _traceback(places: tuple[_Place, ...]) -> TracebackType | None:
    made = None
    for place in reversed(places):
        made = TracebackType(made, _frame(place), 0, place[4])
    return made

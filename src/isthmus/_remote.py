"""Exceptions on their way between interpreters: taken down where raised, rebuilt where `run` was called.

The extension calls `capture` in the interpreter that failed and `rebuild` in the caller's; between them there
are only `str`, `bytes`, None and tuples.
"""

from __future__ import annotations

import builtins
import pickle
import traceback
from types import SimpleNamespace

from isthmus._errors import ExceptionInfo, ExecutionFailed

# name, qualname, module, text, one line, traceback; what it needs to arrive as itself, if it may; its cause
type Captured = tuple[str, str, str, str, str, str, Carried | None, Captured | None]
# pickle, if one can be made; first argument, members of a group and notes, should that not load
type Carried = tuple[bytes | None, str, tuple[Captured, ...], tuple[str, ...]]

_MAX_CAUSES = 16  # a chain of causes may be circular; groups in groups are followed as far


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return "<exception str() failed>"


def _line(kind: type[BaseException], text: str) -> str:
    known = kind.__module__ in ("builtins", "__main__")
    name = kind.__qualname__ if known else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {text}" if text else name


def _arrives_as_itself(exc: BaseException) -> bool:
    kind = type(exc)
    known = getattr(builtins, kind.__name__, None) is kind
    return known and (issubclass(kind, Exception) or kind is KeyboardInterrupt)


def _carried(exc: BaseException, depth: int) -> Carried | None:
    if not _arrives_as_itself(exc):
        return None
    try:
        pickled = pickle.dumps(exc, 5)
    except Exception:
        pickled = None
    notes = getattr(exc, "__notes__", None)
    kept = tuple(note for note in notes if type(note) is str) if isinstance(notes, list) else ()
    if not isinstance(exc, ExceptionGroup):
        return pickled, _text(exc), (), kept
    members = tuple(capture(each, depth + 1) for each in exc.exceptions) if depth < _MAX_CAUSES else ()
    return pickled, exc.message, members, kept


def capture(exc: BaseException, depth: int = 0) -> Captured:
    """Take an exception down, with its explicit causes. Runs in the interpreter that raised it."""
    kind, text = type(exc), _text(exc)
    try:
        display = "".join(traceback.format_exception(exc))
    except Exception:
        display = ""
    cause = exc.__cause__ if depth < _MAX_CAUSES else None
    return (
        kind.__name__,
        kind.__qualname__,
        kind.__module__,
        text,
        _line(kind, text),
        display.rstrip("\n"),
        _carried(exc, depth),
        capture(cause, depth + 1) if cause is not None else None,
    )


def _failure(captured: Captured) -> ExecutionFailed:
    name, qualname, module, msg, formatted, display, _, cause = captured
    kind = SimpleNamespace(__name__=name, __qualname__=qualname, __module__=module)
    failed = ExecutionFailed(ExceptionInfo(kind, msg, formatted, display))
    if cause is not None:
        failed.__cause__ = _rebuilt(cause)
    return failed


def _made_anew(kind: type[BaseException], carried: Carried) -> BaseException | None:
    """Build an exception whose arguments can't cross: its text stands for them."""
    _, text, members, notes = carried
    exc: BaseException
    try:
        exc = kind(text, [_rebuilt(each) for each in members]) if members else kind(text)
    except Exception:
        try:
            exc = kind.__new__(kind, text)  # UnicodeDecodeError and the like want more than a text
        except Exception:
            return None
    for note in notes:
        exc.add_note(note)
    return exc


def _instance(captured: Captured) -> BaseException | None:
    carried = captured[6]
    if carried is None:
        return None
    kind: type[BaseException] = getattr(builtins, captured[0])
    if carried[0] is not None:
        try:
            exc = pickle.loads(carried[0])
        except Exception:  # an argument's class that this interpreter does not know, for one
            exc = None
        if type(exc) is kind:
            return exc
    return _made_anew(kind, carried)


def _rebuilt(captured: Captured) -> BaseException:
    exc = _instance(captured)
    failed = _failure(captured)
    if exc is None:
        return failed
    exc.__cause__ = failed
    return exc


def rebuild(captured: Captured, as_itself: bool) -> BaseException:
    """Build the exception to raise in the caller's interpreter.

    `as_itself`: an exception whose class is exactly a builtin one (deriving from `Exception`, or
    `KeyboardInterrupt`) arrives as itself, caused by the `ExecutionFailed` that has the remote traceback;
    else it is always an `ExecutionFailed`.
    """
    return _rebuilt(captured) if as_itself else _failure(captured)

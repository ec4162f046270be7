"""Exceptions on their way between interpreters: taken down where they were raised, rebuilt where `run` was called.

The extension calls `capture` in the interpreter that failed and `rebuild` in the caller's; between them there are only
`str`, `bytes`, None and tuples.
"""

from __future__ import annotations

import builtins
import pickle
import traceback
from types import SimpleNamespace

from isthmus._errors import ExceptionInfo, ExecutionFailed

type Captured = tuple[str, str, str, str, str, str, bytes | None, Captured | None]

_MAX_CAUSES = 16  # a chain of causes may be circular


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return "<the exception's text could not be made>"


def _arrives_as_itself(exc: BaseException) -> bool:
    kind = type(exc)
    known = getattr(builtins, kind.__name__, None) is kind
    return known and (issubclass(kind, Exception) or kind is KeyboardInterrupt)


def _pickled(exc: BaseException) -> bytes | None:
    if not _arrives_as_itself(exc):
        return None
    try:
        return pickle.dumps(exc, 5)
    except Exception:
        return None


def capture(exc: BaseException, depth: int = 0) -> Captured:
    """Take an exception down, with its explicit causes. Runs in the interpreter that raised it."""
    kind = type(exc)
    try:
        display = "".join(traceback.format_exception(exc))
    except Exception:
        display = ""
    cause = exc.__cause__ if depth < _MAX_CAUSES else None
    return (
        kind.__name__,
        kind.__qualname__,
        kind.__module__,
        _text(exc),
        "".join(traceback.format_exception_only(exc)).strip() if display else kind.__name__,
        display.rstrip("\n"),
        _pickled(exc),
        capture(cause, depth + 1) if cause is not None else None,
    )


def _failure(captured: Captured) -> ExecutionFailed:
    name, qualname, module, msg, formatted, display, _, cause = captured
    kind = SimpleNamespace(__name__=name, __qualname__=qualname, __module__=module)
    failed = ExecutionFailed(ExceptionInfo(kind, msg, formatted, display))
    if cause is not None:
        failed.__cause__ = _rebuilt(cause)
    return failed


def _instance(captured: Captured) -> BaseException | None:
    name, _, _, msg, _, _, pickled, _ = captured
    kind = getattr(builtins, name, None)
    if pickled is None and (captured[2] != "builtins" or name == "SystemExit"):
        return None
    try:
        if pickled is not None:
            exc = pickle.loads(pickled)
            if type(exc) is kind:
                return exc  # type: ignore[no-any-return]
        if isinstance(kind, type) and (issubclass(kind, Exception) or kind is KeyboardInterrupt):
            return kind(msg)
    except Exception:
        return None
    return None


def _rebuilt(captured: Captured) -> BaseException:
    exc = _instance(captured)
    failed = _failure(captured)
    if exc is None:
        return failed
    exc.__cause__ = failed
    return exc


def rebuild(captured: Captured, as_itself: bool) -> BaseException:
    """Build the exception to raise in the caller's interpreter.

    `as_itself`: an exception whose class is exactly a builtin one (deriving from `Exception`, or `KeyboardInterrupt`)
    arrives as itself, caused by the `ExecutionFailed` that has the remote traceback; else it is always an
    `ExecutionFailed`.
    """
    return _rebuilt(captured) if as_itself else _failure(captured)

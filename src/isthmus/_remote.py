"""Exceptions on their way between interpreters: taken down where raised, rebuilt where `run` was called.

The extension calls `capture` in the interpreter that failed and `rebuild` in the caller's; between them there
are only `str`, `bytes`, `int`, `bool`, None and tuples.
"""

from __future__ import annotations

import builtins
import pickle
import traceback
from types import SimpleNamespace

from isthmus._errors import ExceptionInfo, ExecutionFailed
from isthmus._exception_values import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# One exception: name, qualname, module, text, one line, traceback; what it needs to arrive as itself, if it
# may; index of its cause and of its context, or -1; whether that is suppressed; indexes of a group's members
type Node = tuple[str, str, str, str, str, str, Carried | None, int, int, bool, tuple[int, ...]]
# pickled arguments and state, if they can be pickled; first argument and notes, should they not load
type Carried = tuple[bytes | None, str, tuple[str, ...]]
# The first one is the one that was raised.
type Captured = tuple[Node, ...]

_MAX_DEPTH = 32  # links followed: causes, contexts, groups in groups
_MAX_TEXT = 1_000_000  # characters of a traceback; a message is in it, and once more beside it


# ---- where it was raised


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException:
        return "<exception str() failed>"


def _display(exc: BaseException, whole: bool) -> str:
    try:
        text = "".join(traceback.format_exception(exc, chain=whole)).rstrip("\n")
    except BaseException:
        return ""
    if len(text) <= _MAX_TEXT:
        return text
    return f"{text[: _MAX_TEXT // 2]}\n[...]\n{text[-_MAX_TEXT // 2 :]}"


def _line(kind: type[BaseException], module: str, text: str) -> str:
    name = kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
    return f"{name}: {text}" if text else name


def _arrives_as_itself(kind: type[BaseException]) -> bool:
    known = getattr(builtins, kind.__name__, None) is kind
    return known and (issubclass(kind, Exception) or kind is KeyboardInterrupt)


def _attributes(exc: BaseException) -> dict[str, Any]:
    """What has been set on it, as far as it can be pickled."""
    kept: dict[str, Any] = {}
    for name, value in vars(exc).items():
        try:
            pickle.dumps(value, 5)
        except Exception:
            continue
        kept[name] = value
    return kept


def _carried(exc: BaseException) -> Carried | None:
    if not _arrives_as_itself(type(exc)):
        return None
    # The members of a group travel by themselves.
    state = (_attributes(exc),) if isinstance(exc, ExceptionGroup) else exc
    try:
        pickled = pickle.dumps(state, 5)
    except Exception:
        pickled = None
    notes = getattr(exc, "__notes__", None)
    kept = tuple(note for note in notes if type(note) is str) if isinstance(notes, list) else ()
    return pickled, exc.message if isinstance(exc, ExceptionGroup) else _text(exc), kept


class _Capture:
    """Takes down an exception and all that it is linked to, each once, whatever circles they make."""

    def __init__(self) -> None:
        self.nodes: list[Node | None] = []
        self._known: dict[int, int] = {}

    def add(self, exc: BaseException | None, depth: int) -> int:
        if exc is None or depth > _MAX_DEPTH:
            return -1
        if id(exc) not in self._known:
            self._known[id(exc)] = len(self.nodes)
            self.nodes.append(None)
            self.nodes[self._known[id(exc)]] = self._node(exc, depth)
        return self._known[id(exc)]

    def _node(self, exc: BaseException, depth: int) -> Node:
        kind, text = type(exc), _text(exc)
        module = kind.__module__ if isinstance(kind.__module__, str) else "<unknown>"
        members: tuple[BaseException, ...] = ()
        carried = _carried(exc)
        if isinstance(exc, ExceptionGroup) and carried is not None:
            if depth < _MAX_DEPTH:
                members = exc.exceptions
            else:
                carried = None  # described only: there is no group without members
        return (
            kind.__name__,
            kind.__qualname__,
            module,
            text,
            _line(kind, module, text),
            _display(exc, depth == 0),
            carried,
            self.add(link(exc, "__cause__"), depth + 1),
            self.add(link(exc, "__context__"), depth + 1),
            link(exc, "__suppress_context__"),
            tuple(self.add(each, depth + 1) for each in members),
        )


def capture(exc: BaseException) -> Captured:
    """Take an exception down. Runs in the interpreter that raised it."""
    taken = _Capture()
    taken.add(exc, 0)
    return tuple(node for node in taken.nodes if node is not None)


# ---- where it is raised again


def _failure(node: Node) -> ExecutionFailed:
    kind = SimpleNamespace(__name__=node[0], __qualname__=node[1], __module__=node[2])
    return ExecutionFailed(ExceptionInfo(kind, *node[3:6]))


def _unpickled(pickled: bytes | None) -> Any:
    if pickled is None:
        return None
    try:
        return pickle.loads(pickled)
    except Exception:  # an argument's class that this interpreter does not know, for one
        return None


def _made_anew(kind: type[BaseException], carried: Carried) -> BaseException | None:
    """Build an exception whose arguments can't cross: its text stands for them."""
    _, text, notes = carried
    try:
        exc = kind(text)
    except Exception:
        try:
            exc = kind.__new__(kind, text)  # UnicodeDecodeError and the like want more than a text
        except Exception:
            return None
    for note in notes:
        exc.add_note(note)
    return exc


class _Rebuild:
    def __init__(self, captured: Captured) -> None:
        self._nodes = captured
        self._failures = [_failure(node) for node in captured]
        self._made: dict[int, BaseException] = {}

    def exception(self, i: int) -> BaseException:
        """Number `i` as itself, caused by its failure, if it may; else its failure."""
        if i not in self._made:
            self._made[i] = self._failures[i]  # for members of a group that are linked to the group
            exc = self._instance(i)
            if exc is not None:
                self._made[i] = exc
            self._link(i)
        return self._made[i]

    def failure(self) -> ExecutionFailed:
        """The first one as ExecutionFailed, whatever it is."""
        self._made[0] = self._failures[0]
        self._link(0)
        return self._failures[0]

    def _link(self, i: int) -> None:
        failed, made = self._failures[i], self._made[i]
        _, _, _, _, _, _, _, cause, context, suppressed, _ = self._nodes[i]
        failed.__cause__ = self.exception(cause) if cause >= 0 else None
        failed.__context__ = self.exception(context) if context >= 0 else None
        failed.__suppress_context__ = suppressed
        if made is not failed:
            made.__cause__ = failed
            made.__context__ = failed.__context__

    def _instance(self, i: int) -> BaseException | None:
        carried, members = self._nodes[i][6], self._nodes[i][10]
        if carried is None:
            return None
        kind: type[BaseException] = getattr(builtins, self._nodes[i][0])
        if members:
            return self._group(carried, members)
        exc = _unpickled(carried[0])
        return exc if type(exc) is kind else _made_anew(kind, carried)

    def _group(self, carried: Carried, members: tuple[int, ...]) -> BaseException | None:
        inside = [self.exception(each) for each in members]
        exc = ExceptionGroup(carried[1], [each for each in inside if isinstance(each, Exception)])
        state = _unpickled(carried[0])
        if state is not None:
            exc.__dict__.update(state[0])
        else:
            for note in carried[2]:
                exc.add_note(note)
        return exc


def rebuild(captured: Captured, as_itself: bool) -> BaseException:
    """Build the exception to raise in the caller's interpreter.

    `as_itself`: an exception whose class is exactly a builtin one (deriving from `Exception`, or
    `KeyboardInterrupt`) arrives as itself, caused by the `ExecutionFailed` that has the remote traceback;
    else it is always an `ExecutionFailed`. That stands for the original also in what it is linked to: its
    cause and context are the original's.
    """
    made = _Rebuild(captured)
    return made.exception(0) if as_itself else made.failure()

"""The exceptions of isthmus, and how an exception of another interpreter is described and rebuilt."""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False  # as typing's; importing that costs every new interpreter milliseconds
if TYPE_CHECKING:
    from typing import Any


class InterpreterError(RuntimeError):
    """An operation on an interpreter failed: it is running, closing, closed, or the main one.

    Also a `RuntimeError`, as PEP 554 has it.
    """


class InterpreterNotFoundError(InterpreterError):
    """No interpreter with that id exists."""


class NotShareableError(TypeError, ValueError):
    """An object can't cross to another interpreter; the message names the part and its type.

    A `TypeError` as PEP 734 has it, and a `ValueError` as PEP 554 has it.
    """


class ExceptionInfo(SimpleNamespace):
    """What is known here of an exception in another interpreter.

    `type` has the class's `__name__`, `__qualname__` and `__module__`; `formatted` is one line, `errdisplay`
    the whole traceback as the other interpreter would have printed it.
    """

    type: SimpleNamespace
    msg: str
    formatted: str
    errdisplay: str

    def __init__(self, type: SimpleNamespace, msg: str, formatted: str, errdisplay: str) -> None:
        super().__init__(type=type, msg=msg, formatted=formatted, errdisplay=errdisplay)

    def __reduce__(self) -> tuple[Any, ...]:
        return ExceptionInfo, (self.type, self.msg, self.formatted, self.errdisplay)


class ExecutionFailed(InterpreterError):
    """Code in another interpreter raised an exception that it did not handle (PEP 734)."""

    excinfo: ExceptionInfo

    def __init__(self, excinfo: ExceptionInfo) -> None:
        super().__init__(excinfo.formatted)
        self.excinfo = excinfo

    def __str__(self) -> str:
        if not self.excinfo.errdisplay:
            return self.excinfo.formatted
        return f"{self.excinfo.formatted}\n\nUncaught in the interpreter:\n\n{self.excinfo.errdisplay}"

    def __reduce__(self) -> tuple[type[ExecutionFailed], tuple[ExceptionInfo]]:
        return type(self), (self.excinfo,)

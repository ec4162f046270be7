"""Loading the user's SCRIPT: `map(chunk: bytes)`, `reduce(a, b)`, and `finish(x)` if there is one."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

__all__ = ["MODULE", "Failure", "Script", "ScriptError", "check_syntax", "load", "load_module"]

#: The script's `__name__`: not "__main__", so that a script may also be a program.
MODULE = "__isthmus_script__"


class ScriptError(Exception):
    """A script that cannot be used.

    `wrong_call`: the file is no such script, as opposed to failing when it ran.
    """

    def __init__(self, message: str, trace: str = "", *, wrong_call: bool) -> None:
        super().__init__(message)
        self.message = message
        self.trace = trace
        self.wrong_call = wrong_call


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception of user code, as text that can cross: one line, and the traceback from user code on."""

    headline: str
    trace: str

    @classmethod
    def of(cls, error: BaseException, *own_files: str) -> Failure:
        """Describe `error`.

        Leading frames from `own_files` (and importlib's) are left out of the traceback.
        """
        first: TracebackType | None = error.__traceback__
        while first is not None and first.tb_next is not None and _is_ours(first, own_files):
            first = first.tb_next
        lines = traceback.format_exception(type(error), error, first)
        said = traceback.format_exception_only(error)[-1].strip() or type(error).__name__
        headline = said.splitlines()[0]
        if "does not support loading in subinterpreters" in said:
            headline += " (try --engine processes)"
        return cls(headline, "".join(lines))


def _is_ours(frame: TracebackType, own_files: tuple[str, ...]) -> bool:
    name = frame.tb_frame.f_code.co_filename
    return name in own_files or name.startswith("<frozen importlib")


@dataclass(frozen=True, slots=True)
class Script:
    """The functions of a loaded script."""

    map: Callable[[bytes], Any]
    reduce: Callable[[Any, Any], Any]
    finish: Callable[[Any], Any] | None


def check_syntax(path: str) -> None:
    """Compile the script without running it. ScriptError if it is missing, unreadable or not Python."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScriptError(f"cannot read the script {path}: {reason}", wrong_call=True) from None
    try:
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}" if error.lineno else path
        shown = Failure.of(error.with_traceback(None))
        raise ScriptError(
            f"{where}: {type(error).__name__}: {error.msg}", shown.trace, wrong_call=True
        ) from None
    except ValueError as error:
        raise ScriptError(f"{path}: not Python source: {error}", wrong_call=True) from None


def load_module(path: str) -> ModuleType:
    """Run the script as module `MODULE` of this interpreter, with its folder first on `sys.path`."""
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loader = importlib.machinery.SourceFileLoader(MODULE, path)
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Its classes pickle by this name.
    sys.modules[MODULE] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(MODULE, None)
        raise
    return module


def load(path: str) -> Script:
    """Run the script and take its functions. ScriptError if that fails or `map` or `reduce` is missing."""
    check_syntax(path)
    try:
        module = load_module(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failure = Failure.of(error, __file__)
        raise ScriptError(f"{path}: {failure.headline}", failure.trace, wrong_call=False) from None
    for name in ("map", "reduce"):
        if not callable(getattr(module, name, None)):
            signature = {"map": "map(chunk: bytes)", "reduce": "reduce(a, b)"}[name]
            raise ScriptError(f"{path}: the script has no function {signature}", wrong_call=True)
    finish = getattr(module, "finish", None)
    if finish is not None and not callable(finish):
        raise ScriptError(f"{path}: finish is not a function", wrong_call=True)
    return Script(module.map, module.reduce, finish)

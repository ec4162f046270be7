"""What can go wrong in a command, and how it is told: one line on stderr, the remote traceback under it."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

__all__ = ["CallError", "CommandError", "Interrupted", "OneLineParser", "TaskError"]


class CommandError(Exception):
    """A command that ends with a message. `status` is the exit status."""

    status = 1

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        #: the traceback in the worker that failed, or ""
        self.traceback = traceback
        #: a worker is still inside user code and could not be stopped
        self.stuck = False

    def report(self, command: str) -> str:
        """The text for stderr, without the last newline."""
        line = f"{command}: {self.message}"
        return f"{line}\n{self.traceback.rstrip()}" if self.traceback else line


class CallError(CommandError):
    """The command was called wrongly: bad option, missing file, script without `map`."""

    status = 2


class TaskError(CommandError):
    """The call was right and the work failed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while workers ran. `stuck` as in `CommandError`."""

    def __init__(self, stuck: bool) -> None:
        super().__init__()
        self.stuck = stuck


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that reports a wrong call on one line (argparse prints the usage too)."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

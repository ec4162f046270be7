"""The `isthmus` command: `map`, `doctor`, `top` and `bench`.

Every worker interpreter imports this package on its way to `isthmus.cli.worker`, so it imports nothing at its
top that only the command needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit status.

    0: done; 1: the task failed; 2: the call was wrong; 130: interrupted from the keyboard.
    """
    from isthmus.cli.errors import CommandError

    arguments = list(sys.argv[1:] if argv is None else argv)
    command = "isthmus"
    try:
        options = _parser(arguments).parse_args(arguments)
        command = f"isthmus {options.command}"
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except CommandError as error:
        print(error.report(command), file=sys.stderr)
        return _leave(error.status, error.stuck)
    except KeyboardInterrupt as error:
        print(f"{command}: interrupted", file=sys.stderr)
        return _leave(130, getattr(error, "stuck", False))
    except BrokenPipeError:
        # The reader of our output went away; the interpreter's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _leave(status: int, stuck: bool) -> int:
    """Return `status`, or end the process with it when a worker is stuck in user code."""
    if stuck:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    from isthmus.cli import doctor, top
    from isthmus.cli import map as map_command
    from isthmus.cli.cmakedir import CMakeDirectory
    from isthmus.cli.errors import OneLineParser

    parser: argparse.ArgumentParser = OneLineParser(
        prog="isthmus", description="Isolated interpreters that share bytes without copying."
    )
    parser.add_argument("--cmakedir", action=CMakeDirectory)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("map", help=map_command.SUMMARY, description=map_command.DESCRIPTION)
    map_command.add_arguments(one)
    one.set_defaults(run=map_command.run)

    one = commands.add_parser("doctor", help=doctor.SUMMARY, description=doctor.DESCRIPTION)
    doctor.add_arguments(one)
    one.set_defaults(run=doctor.run)

    one = commands.add_parser("top", help=top.SUMMARY, description=top.DESCRIPTION)
    top.add_arguments(one)
    one.set_defaults(run=top.run)

    _add_bench(commands, wanted="bench" in arguments[:1])
    return parser


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser], *, wanted: bool) -> None:
    import importlib
    import importlib.util

    # The benchmarks are left out of some installations; the others' commands must not fail for it.
    if importlib.util.find_spec("isthmus.cli.bench") is None:
        return
    one = commands.add_parser("bench", help="the benchmarks, each beside its peers in the same run")
    if wanted:
        bench = importlib.import_module("isthmus.cli.bench")
        bench.add_arguments(one)
        one.set_defaults(run=bench.run)

"""`isthmus top`: what a running process holds and passes, live.

The process must let itself be inspected (`isthmus.inspection`); nothing is asked of its interpreters.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from typing import TYPE_CHECKING

from isthmus.cli.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.live import Live

    from isthmus.inspection import Connection, Rates, Snapshot

__all__ = ["DESCRIPTION", "SUMMARY", "add_arguments", "run"]

SUMMARY = "what a running process holds and passes, live"
DESCRIPTION = (
    "Shows the interpreters, channels, queues and shared memory of a process of the same user that was "
    "started with ISTHMUS_INSPECTION=1 or has called isthmus.inspection.serve(). Without PID: which these "
    "are. "
    "Exit status: 0 shown, 1 the process is not there, is another user's or does not serve, 2 wrong call."
)
#: In a pipe there is no width to fit in, and a wrapped line cannot be searched.
PIPE_WIDTH = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `isthmus top`."""
    parser.add_argument(
        "pid",
        metavar="PID",
        nargs="?",
        type=_process_id,
        help="the process; without it: list those that serve",
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_interval,
        default=1.0,
        help="time between two looks, over which rates are taken (default: 1)",
    )
    parser.add_argument("--once", action="store_true", help="print one picture after one interval and end")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Carry out `isthmus top`."""
    try:
        if options.pid is None:
            return _list(options.json)
        if options.json or options.once or not sys.stdout.isatty():
            return _once(options.pid, options.interval, as_json=options.json)
        return _live(options.pid, options.interval)
    except (OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise TaskError(str(error)) from error


def _process_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id")
    return int(text)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.05 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.05 to 3600")
    return seconds


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def _list(as_json: bool) -> int:
    from isthmus import inspection
    from isthmus.cli import top_view

    found = []
    for pid in inspection.processes():
        try:
            found.append(inspection.read(pid))
        except OSError:
            continue  # it ended, or is stopped
    if as_json:
        print(json.dumps({"processes": [each.pid for each in found]}))
    else:
        console = _console()
        console.print(top_view.processes(found, width=console.width), highlight=False)
    return 0


def _once(pid: int, interval: float, *, as_json: bool) -> int:
    from isthmus import inspection
    from isthmus.cli import top_view

    with inspection.connect(pid) as connection:
        earlier = connection.read()
        time.sleep(interval)
        later = connection.read()
    passed = inspection.rates(earlier, later)
    if as_json:
        print(json.dumps({**later.as_dict(), "rates": passed.as_dict()}))
    else:
        console = _console()
        console.print(top_view.picture(later, passed, width=console.width), highlight=False)
    return 0


class _Watch:
    """Looks at one process again and again, over one connection for as long as it answers."""

    def __init__(self, pid: int) -> None:
        from isthmus import inspection

        self.pid = pid
        self._connect: Callable[[], Connection] = lambda: inspection.connect(pid, timeout=2.0)
        self._connection: Connection | None = self._connect()
        self.seen: Snapshot | None = None
        self.rates: Rates | None = None
        self.note = ""

    def look(self) -> None:
        """Take the next snapshot; one that does not come is a note. Errors as inspection.connect's."""
        from isthmus import inspection

        try:
            if self._connection is None:
                self._connection = self._connect()
            seen = self._connection.read()
        except TimeoutError as error:
            self.close()
            self.note = str(error)
            return
        self.note = ""
        self.rates = inspection.rates(self.seen, seen) if self.seen is not None else None
        self.seen = seen

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _live(pid: int, interval: float) -> int:
    from rich.live import Live

    watch = _Watch(pid)
    console = _console()
    try:
        live = Live(console=console, screen=True, auto_refresh=False, transient=True)
        with live:
            _watch(watch, interval, live)
    except KeyboardInterrupt:
        pass  # the way to end it
    except ProcessLookupError:
        if watch.seen is None:
            raise
        console.print(f"process {pid} has ended", highlight=False)
    finally:
        watch.close()
    return 0


def _watch(watch: _Watch, interval: float, live: Live) -> None:
    from isthmus.cli import top_view

    due = time.monotonic()
    while True:
        watch.look()
        width, height = live.console.size
        shown = top_view.picture(watch.seen, watch.rates, width=width, height=height, note=watch.note)
        live.update(shown, refresh=True)
        due = max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))

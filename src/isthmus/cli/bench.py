"""`isthmus bench`: the benchmarks, each beside its peers in the same run.

Each group of rows is measured in a fresh process. A group that fails is named on stderr and the others go
on; the exit status is then 1. A target that is missed is a result, not a failure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from isthmus.cli.errors import CallError

__all__ = ["GROUPS", "add_arguments", "run"]

#: What can be named, in the order in which it is measured.
GROUPS = {
    "handover": "bytes of 64 KiB to 256 MiB handed over; a copy of them",
    "awake": "round trips while both sides are awake",
    "asleep": "round trips while both sides sleep",
    "bulk": "100 MB there and back",
    "messages": "small messages one way",
    "batches": "small messages one way, many at once",
    "queues": "round trips over queues",
    "waits": "what a wait costs the processor",
    "select": "select over one and 1,000 channels",
    "calls": "calls in another interpreter",
    "posts": "calls posted to an interpreter",
    "releases": "views dropped, until their owner has its buffers back",
    "views": "mappings as views, lists of large bytes",
    "clone": "values taken apart and put together again",
    "map": "isthmus map by engine",
    "create": "interpreters created and closed",
    "memory": "memory of 1 GiB held by 8 interpreters",
    "hook-small": "the allocator hook and small objects",
    "hook-large": "the allocator hook and large objects",
    "host": "calls, posted calls and bytes from C++",
}
#: Seconds after which a group is given up: far more than the slowest takes.
LIMIT = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `isthmus bench`."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    shape.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--plot", metavar="FILE", help="also draw the ratios (needs matplotlib)")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds: checks the rows, measures nothing well"
    )
    names = "; ".join(f"{name}: {what}" for name, what in GROUPS.items())
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"only these. {names}")


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit status."""
    unknown = [name for name in args.names if name not in GROUPS]
    if unknown:
        raise CallError(f"no benchmark {unknown[0]!r}; there are: {', '.join(GROUPS)}")
    if args.plot and importlib.util.find_spec("matplotlib") is None:
        raise CallError("--plot needs matplotlib: python -m pip install matplotlib")
    from isthmus.cli._bench import report

    machine = report.json_machine()
    rows: list[dict[str, Any]] = []
    failed = False
    for name in GROUPS:
        if args.names and name not in args.names:
            continue
        print(f"isthmus bench: {name}: {GROUPS[name]}", file=sys.stderr, flush=True)
        measured = _measure(name, args.quick)
        failed = failed or measured is None
        rows += [{"group": name, **row} for row in measured or []]
    document = {"isthmus": _version(), "machine": machine, "quick": args.quick, "rows": rows}
    _print(document, args)
    if args.plot and rows:
        report.plot(rows, args.plot)
    return 1 if failed else 0


def _measure(group: str, quick: bool) -> list[dict[str, Any]] | None:
    """The rows of a group, measured in a process of its own; None if that failed."""
    import isthmus.cli

    command = [sys.executable, "-m", "isthmus.cli._bench", *(["--quick"] if quick else []), group]
    package = str(Path(isthmus.cli.__file__).parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=LIMIT, env=os.environ | {"PYTHONPATH": path}
        )
    except subprocess.TimeoutExpired:
        print(f"isthmus bench: {group} was given up after {LIMIT} s", file=sys.stderr)
        return None
    if done.returncode != 0:
        print(f"isthmus bench: {group} failed with exit status {done.returncode}", file=sys.stderr)
        return None
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("isthmus")
    except PackageNotFoundError:
        return "from a checkout"


def _print(document: dict[str, Any], args: argparse.Namespace) -> None:
    from isthmus.cli._bench import report

    if args.json:
        print(json.dumps(document, indent=2))
        return
    if args.markdown:
        print(report.markdown(document), end="")
        return
    from rich.console import Console

    # A pipe has no width of its own; a table folded to 80 columns can't be read.
    console = Console() if sys.stdout.isatty() else Console(width=180)
    machine = document["machine"]
    console.print(
        f"Python {machine['python']}, {machine['cpus']} CPUs ({machine['processor']}), {machine['system']}, "
        f"load {machine['load']:.1f}. Medians, extremes in brackets.",
        highlight=False,
    )
    console.print(report.table(document["rows"]))
    if document["quick"]:
        console.print("--quick: these figures show that the rows work, not what they cost.", highlight=False)

"""Rows about `isthmus map`: one job by each engine."""

from __future__ import annotations

import itertools
import os
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import Row, TimesPeer, WithinPeer
from isthmus.cli.map import run_map

__all__ = ["map_by_engine"]

SCRIPT = '''
"""The words of source files: how many there are, and how many lines."""


def map(chunk):
    return len(chunk.split()), chunk.count(b"\\n")


def reduce(a, b):
    return a[0] + b[0], a[1] + b[1]
'''
ENGINES = ("interpreters", "serial", "threads", "processes")


def map_by_engine(settings: Settings) -> list[Row]:
    """The words of at least 512 MB of real source text, from the page cache."""
    megabytes = 8 if settings.quick else 512
    workers = min(2, len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        script = Path(folder, "words.py")
        script.write_text(SCRIPT, encoding="utf-8")
        # One file of 64 MB, named as often as needed, spares the disk.
        part = Path(folder, "input.txt")
        _write_sources(part, min(megabytes, 64) * 1_000_000)
        inputs = [str(part)] * max(1, megabytes // 64)
        results: set[tuple[int, int]] = set()

        def contender(engine: str) -> Contender:
            def batch(_: int) -> list[float]:
                report = run_map(str(script), inputs, engine=engine, workers=workers)
                results.add(tuple(report.result))
                return [report.seconds]

            return Contender(engine, batch, count=1)

        contenders = [contender(engine) for engine in ENGINES]
        rounds = 2 if settings.quick else 3
        measure(contenders, Settings(rounds, settings.batch_seconds, settings.quick))
    if len(results) != 1:
        raise AssertionError(f"the engines disagree: {results}")
    return [
        Row.of(
            "map",
            f"isthmus map: words of {megabytes} MB of Python source, {workers} workers, already started",
            "s",
            contenders,
            goals=[TimesPeer("serial", 1.85), WithinPeer("processes", 1.0)] if workers > 1 else [],
        )
    ]


def _write_sources(path: Path, size: int) -> None:
    """Real text: the standard library's sources, again and again, up to `size` bytes."""
    root = Path(sysconfig.get_path("stdlib"))
    sources = [one.read_bytes() for one in sorted(root.glob("*.py"))]
    written = 0
    with path.open("wb") as file:
        for source in itertools.cycle(sources):
            written += file.write(source)
            if written >= size:
                return


GROUPS: dict[str, Callable[[Settings], Sequence[Row]]] = {"map": map_by_engine}

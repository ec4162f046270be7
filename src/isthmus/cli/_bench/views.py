"""Rows about views and large values inside containers: what crosses without being looked at."""

from __future__ import annotations

import itertools
import mmap
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from time import perf_counter_ns
from typing import Any

import isthmus
from isthmus.cli._bench import loops
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import AtMost, Row
from isthmus.cli._bench.transports import Isthmus

__all__ = ["GROUPS"]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
COPY, PICKLE = "a copy", "pickle 5"


def _repeated(name: str, work: Callable[[], object]) -> Contender:
    def batch(count: int) -> list[float]:
        start = perf_counter_ns()
        for _ in itertools.repeat(None, count):
            work()
        return [(perf_counter_ns() - start) / count]

    return Contender(name, batch)


def _stream(served: Isthmus, value: object) -> Contender:
    def batch(count: int) -> list[float]:
        return [loops.stream(served.send, served.recv, value, count) / count]

    return Contender("isthmus", batch)


def _filled(size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size)
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1  # else all pages are the same zero page, and a copy costs less than it does
    return memory


def _row_of_view(size: int, contenders: list[Contender]) -> Row:
    name = f"{size // GIB} GiB" if size >= GIB else f"{size // KIB} KiB"
    return Row.of(
        f"view of {name}",
        f"time per mmap of {name} streamed as a memoryview of the same memory to a worker that receives and "
        "drops each; what the worker dropped is released in its owner meanwhile",
        "µs",
        contenders,
        scale=1e3,
    )


def views(settings: Settings) -> list[Row]:
    """Stream mappings as views; hand over a list of large `bytes`."""
    sizes = [64 * KIB, MIB] if settings.quick else [64 * KIB, GIB]
    count = 10 if settings.quick else 1000
    isthmus.enable()
    with ExitStack() as stack:
        served = stack.enter_context(Isthmus(capacity=64))
        served.greet()
        mapped = {size: _filled(size) for size in sizes}
        streams = {
            size: [_stream(served, memory), _repeated(COPY, partial(bytes, memory))]
            for size, memory in mapped.items()
        }
        parts: list[Any] = [isthmus.share(bytes([n % 251]) * MIB) for n in range(count)]
        lists = [
            _stream(served, parts),
            _repeated(PICKLE, lambda: pickle.loads(pickle.dumps(parts, 5))),
        ]
        measure([*itertools.chain(*streams.values()), *lists], settings)
    small, large = (streams[size][0].samples for size in sizes)
    return [
        *(_row_of_view(size, contenders) for size, contenders in streams.items()),
        Row(
            "view constant",
            "time of the largest over that of the smallest, round by round",
            "x",
            [b / a for a, b in zip(small, large, strict=True)],
            goals=[AtMost(1.3)],
        ),
        Row.of(
            f"list of {count:,} bytes",
            f"time per list of {count:,} `bytes` of 1 MiB streamed to a worker that receives and drops it",
            "µs",
            lists,
            scale=1e3,
        ),
    ]


GROUPS = {"views": views}

"""The timed loops, and the other side of each conversation: one code for isthmus and for every peer.

Worker interpreters, threads and processes import this module, so it imports next to nothing. All times are
`perf_counter_ns`, which is CLOCK_MONOTONIC and so the same clock in every interpreter and process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from time import perf_counter_ns, sleep
from typing import Any

Send = Callable[[Any], object]
Recv = Callable[[], Any]


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Keep the calling thread on `cpu` for the duration."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- the worker -------------------------------------------------------------------------------------------


def serve(recv: Recv, send: Send) -> None:
    """Obey `(command, argument…)` messages until `("stop",)`."""
    while True:
        command, *arguments = recv()
        if command == "stop":
            return
        COMMANDS[command](recv, send, *arguments)


def _echo(recv: Recv, send: Send, count: int) -> None:
    for _ in repeat(None, count):
        send(recv())


def _echo_asleep(recv: Recv, send: Send, count: int, gap_ns: int, cpu: int) -> None:
    seconds, hops = gap_ns / 1e9, []
    with pinned(cpu):
        for _ in repeat(None, count):
            stamp = recv()
            hops.append(perf_counter_ns() - stamp)
            sleep(seconds)
            send(perf_counter_ns())
    send(tuple(hops))


def _sink(recv: Recv, send: Send, count: int) -> None:
    for _ in repeat(None, count):
        recv()
    send(perf_counter_ns())


#: What `_hold` keeps until the worker ends.
_held: list[Any] = []


def _hold(recv: Recv, send: Send) -> None:
    _held.append(recv())
    # Read every page, as whoever wants the data does: a page not read is in nobody's memory.
    total = 0
    view = memoryview(_held[-1])
    for start in range(0, len(view), 4096):
        total += view[start]
    send(total)


COMMANDS: dict[str, Callable[..., None]] = {
    "echo": _echo,
    "echo_asleep": _echo_asleep,
    "sink": _sink,
    "hold": _hold,
}


# ---- the driver: each returns nanoseconds -----------------------------------------------------------------


def round_trips(send: Send, recv: Recv, value: object, count: int) -> int:
    """The time of `count` round trips of `value`."""
    send(("echo", count))
    # The first answer also waits for the worker to look up its command.
    start = perf_counter_ns()
    for _ in repeat(None, count):
        send(value)
        recv()
    return perf_counter_ns() - start


def round_trips_asleep(send: Send, recv: Recv, count: int, gap_ns: int, cpus: tuple[int, int]) -> list[float]:
    """Each round trip as the sum of its two hops. Each side idles `gap_ns` before it sends."""
    send(("echo_asleep", count, gap_ns, cpus[1]))
    seconds, back = gap_ns / 1e9, []
    with pinned(cpus[0]):
        for _ in repeat(None, count):
            sleep(seconds)
            send(perf_counter_ns())
            stamp = recv()
            back.append(perf_counter_ns() - stamp)
    return [float(one + other) for one, other in zip(recv(), back, strict=True)]


def stream(send: Send, recv: Recv, value: object, count: int) -> int:
    """The time from the first of `count` sends until the worker has received and dropped them all."""
    send(("sink", count))
    start = perf_counter_ns()
    for _ in repeat(None, count):
        send(value)
    end: int = recv()
    return end - start


def alone(send: Send, recv: Recv, value: object, count: int) -> int:
    """The time in which one thread puts `value` in and takes it out again `count` times."""
    start = perf_counter_ns()
    for _ in repeat(None, count):
        send(value)
        recv()
    return perf_counter_ns() - start

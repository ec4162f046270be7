"""Rows about batches, queues and waits: many messages at once, a queue's round trip, what a wait costs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter_ns
from typing import Any

import isthmus
from isthmus.cli._bench import loops
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import AtMost, Row, TimesPeer
from isthmus.cli._bench.transports import QUEUE, Queues, Threads, open_all

__all__ = ["batches", "calls", "queues", "select", "waits"]

_SINK = """
while (left := commands.recv()):
    while left:
        left -= len(values.recv_many(left))
    done.send(None)
"""


class _Batches:
    """A worker that receives by recv_many what is sent by send_many."""

    def __init__(self) -> None:
        values, self._values = isthmus.create_channel(None)
        commands, self._commands = isthmus.create_channel(1)
        self._done, done = isthmus.create_channel(1)
        self._interpreter = isthmus.create(name="bench batches")
        self._thread = self._interpreter.run_in_thread(_SINK, values=values, commands=commands, done=done)

    def batch(self, count: int) -> list[float]:
        self._commands.send(count)
        start = perf_counter_ns()
        self._values.send_many(range(count))
        self._done.recv()
        return [(perf_counter_ns() - start) / count]

    def close(self) -> None:
        self._commands.send(0)
        self._thread.join()
        self._interpreter.close()


def batches(settings: Settings) -> list[Row]:
    """Small ints one way, by send_many and recv_many; the peers have nothing like it and send one by one."""
    with ExitStack() as stack:
        ours = _Batches()
        stack.callback(ours.close)
        contenders = [Contender("isthmus", ours.batch, most=4_000_000)]
        for peer in open_all(stack, capacity=None):
            contenders.append(
                Contender(
                    "isthmus, one by one" if peer.name == "isthmus" else peer.name,
                    lambda count, peer=peer: [loops.stream(peer.send, peer.recv, 1, count) / count],  # type: ignore[misc]
                    most=200_000,
                )
            )
        measure(contenders, settings)
    rates = {one.name: [1e3 / sample for sample in one.samples] for one in contenders}
    ours_by_round = rates.pop("isthmus")
    return [
        Row(
            "small messages in batches",
            "small ints to a worker by send_many of a range and recv_many; unbounded channel",
            "M/s",
            ours_by_round,
            better="higher",
            peers=rates,
            goals=[AtMost(15.0)],
        )
    ]


def queues(settings: Settings) -> list[Row]:
    """A queue's round trip: isthmus.Queue beside the standard library's and queue.SimpleQueue of threads."""
    there, back = isthmus.create_queue(), isthmus.create_queue()
    worker = isthmus.create(name="bench queues")
    thread = worker.run_in_thread(
        "from isthmus.cli._bench.loops import serve\nserve(there.get, back.put)\n", there=there, back=back
    )

    def ours(count: int) -> list[float]:
        return [loops.round_trips(there.put, back.get, 1, count) / count]

    contenders = [Contender("isthmus", ours)]
    with ExitStack() as stack:
        for peer in (stack.enter_context(Queues()), stack.enter_context(Threads())):
            peer.greet()
            contenders.append(
                Contender(
                    peer.name,
                    lambda count, peer=peer: [loops.round_trips(peer.send, peer.recv, 1, count) / count],  # type: ignore[misc]
                )
            )
        measure(contenders, settings)
    there.put(("stop",))
    thread.join()
    worker.close()
    return [
        Row.of(
            "queue round trip awake",
            "a small int to a worker and back over two queues, each side answering at once",
            "µs",
            contenders,
            scale=1e3,
            goals=[TimesPeer(QUEUE, 1000)],
        )
    ]


def _processor_time(wait: Callable[[], object], seconds: float) -> float:
    """Milliseconds of processor time that this thread used per second of waiting."""
    before, start = time.thread_time(), time.monotonic()
    wait()
    return (time.thread_time() - before) * 1e3 / max(seconds, time.monotonic() - start)


def _timed_out(operation: Callable[[], object]) -> None:
    try:
        operation()
    except (TimeoutError, isthmus.QueueEmpty):
        return
    raise AssertionError("nothing was sent, and still something came")


def waits(settings: Settings) -> list[Row]:
    """What a wait in which nothing happens costs the processor."""
    seconds = 0.05 if settings.quick else 0.5
    queue = isthmus.create_queue()
    many = [isthmus.create_channel() for _ in range(1000)]
    cases = [r for r, _ in many]
    polled = _polled_get(seconds)

    def sample(wait: Callable[[], object]) -> Callable[[int], list[float]]:
        return lambda _: [_processor_time(wait, seconds)]

    one = Contender("isthmus", sample(lambda: _timed_out(lambda: queue.get(timeout=seconds))), count=1)
    single = Contender(
        "select of 1", sample(lambda: _timed_out(lambda: isthmus.select(cases[0], timeout=seconds))), count=1
    )
    thousand = Contender(
        "select of 1,000",
        sample(lambda: _timed_out(lambda: isthmus.select(*cases, timeout=seconds))),
        count=1,
    )
    contenders = [one, single, thousand, Contender(QUEUE, sample(polled), count=1)]
    measure(contenders, settings)
    rows = [
        Row.of(
            "a wait's processor time",
            f"milliseconds of processor time per second of a wait of {seconds} s in which nothing comes",
            "ms/s",
            contenders,
            goals=[AtMost(1.0)],
        )
    ]
    for r, s in many:
        r.close()
        s.close()
    return rows


def _polled_get(seconds: float) -> Callable[[], None]:
    """A get of the standard library's queue that times out. Its own timeouts are whole seconds."""
    take: Callable[[], Any]
    empty: type[BaseException]
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        take, empty = interpreters.create_queue().get_nowait, interpreters.QueueEmpty
    else:
        from isthmus.cli._bench import polled

        take, empty = polled.PolledQueue().get_nowait, polled.QueueEmpty

    def poll() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                take()
            except empty:
                time.sleep(0.01)

    return poll


def select(settings: Settings) -> list[Row]:
    """How long after a send a select over one and over 1,000 channels returns."""
    contenders = []
    opened = []
    for count in (1, 1000):
        ends = [isthmus.create_channel(1) for _ in range(count)]
        opened += ends
        contenders.append(Contender("isthmus" if count == 1 else "1,000 cases", _selector(ends)))
    polled = [isthmus.create_channel(1) for _ in range(1000)]
    opened += polled
    contenders.append(Contender("1,000 channels asked in turn", _asker(polled)))
    measure(contenders, settings)
    for r, s in opened:
        r.close()
        s.close()
    return [
        Row.of(
            "select",
            "one thread sends to the last of several channels and selects over all of them",
            "µs",
            contenders,
            scale=1e3,
        )
    ]


def _selector(
    ends: Sequence[tuple[isthmus.RecvChannel, isthmus.SendChannel]],
) -> Callable[[int], list[float]]:
    cases, send = [r for r, _ in ends], ends[-1][1].send

    def batch(count: int) -> list[float]:
        start = perf_counter_ns()
        for _ in range(count):
            send(1)
            isthmus.select(*cases)
        return [(perf_counter_ns() - start) / count]

    return batch


def _asker(ends: Sequence[tuple[isthmus.RecvChannel, isthmus.SendChannel]]) -> Callable[[int], list[float]]:
    asks, send = [r.recv_nowait for r, _ in ends], ends[-1][1].send

    def batch(count: int) -> list[float]:
        start = perf_counter_ns()
        for _ in range(count):
            send(1)
            for ask in asks:
                if ask() is not None:
                    break
        return [(perf_counter_ns() - start) / count]

    return batch


def calls(settings: Settings) -> list[Row]:
    """A call of a trivial function in an idle interpreter, beside other ways to have it run there."""
    interpreter = isthmus.create(name="bench calls")
    interpreter.call(len, b"")

    def repeated(operation: Callable[[], object]) -> Callable[[int], list[float]]:
        def batch(count: int) -> list[float]:
            start = perf_counter_ns()
            for _ in range(count):
                operation()
            return [(perf_counter_ns() - start) / count]

        return batch

    def in_a_thread() -> None:
        thread = threading.Thread(target=len, args=(b"",))
        thread.start()
        thread.join()

    contenders = [
        Contender("isthmus", repeated(lambda: interpreter.call(len, b""))),
        Contender("a lambda", repeated(lambda: interpreter.call(lambda: None))),
        Contender("exec of its source", repeated(lambda: interpreter.exec("len(b'')"))),
        Contender("a thread for each", repeated(in_a_thread)),
    ]
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        theirs = interpreters.create()
        contenders.append(Contender("concurrent.interpreters", repeated(lambda: theirs.call(len, b""))))
    measure(contenders, settings)
    interpreter.close()
    return [
        Row.of(
            "call",
            "interpreter.call(len, b'') on this thread, the interpreter idle",
            "µs",
            contenders,
            scale=1e3,
        )
    ]


GROUPS: dict[str, Callable[[Settings], Sequence[Row]]] = {
    "batches": batches,
    "queues": queues,
    "waits": waits,
    "select": select,
    "calls": calls,
}

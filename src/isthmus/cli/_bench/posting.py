"""Rows about posted calls: to an owner that sleeps, many in a row, to an owner that is busy in bytecode."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from time import perf_counter_ns
from typing import Any

import isthmus
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import Row

__all__ = ["GROUPS", "posts"]

THREADS, POOL = "ThreadPoolExecutor(1)", "InterpreterPoolExecutor(1)"
GAP = 0.002  # seconds: after that both sides sleep in the kernel

Submit = Callable[..., Any]  #: returns something with `result()`


def _after_a_pause(submit: Submit) -> Callable[[int], list[float]]:
    """The median time of a call that finds its server asleep."""

    def batch(count: int) -> list[float]:
        taken = []
        for _ in range(count):
            time.sleep(GAP)
            start = perf_counter_ns()
            submit(len, b"").result()
            taken.append(perf_counter_ns() - start)
        return [statistics.median(taken)]

    return batch


def _in_a_row(submit: Submit) -> Callable[[int], list[float]]:
    """The time per call when nobody waits but for the last one."""

    def batch(count: int) -> list[float]:
        start = perf_counter_ns()
        for _ in range(count - 1):
            submit(len, b"")
        submit(len, b"").result()
        return [(perf_counter_ns() - start) / count]

    return batch


@contextmanager
def _busy_interpreter() -> Iterator[Submit]:
    """`post` of an interpreter whose own thread never leaves its bytecode."""
    begun, begins = isthmus.create_channel(None)
    interpreter = isthmus.create(name="bench busy")
    thread = interpreter.run_in_thread(
        "try:\n    begins.send(1)\n    while True: pass\nexcept TimeoutError: pass\n", begins=begins
    )
    begun.recv()
    try:
        yield interpreter.post
    finally:
        interpreter.interrupt(TimeoutError)
        thread.join()
        interpreter.close()


def _beside_a_busy_thread(submit: Submit) -> Callable[[int], list[float]]:
    """The same for a thread that shares its GIL with one that never leaves its bytecode."""

    def batch(count: int) -> list[float]:
        over = threading.Event()

        def spin() -> None:
            while not over.is_set():
                pass

        busy = threading.Thread(target=spin)
        busy.start()
        try:
            return _after_a_pause(submit)(count)
        finally:
            over.set()
            busy.join()

    return batch


def _pools(stack: ExitStack) -> tuple[dict[str, Executor], dict[str, str]]:
    """Executors with one worker, warmed up; and which there is not, and why."""
    pools: dict[str, Executor] = {THREADS: ThreadPoolExecutor(1)}
    skipped = {}
    if sys.version_info >= (3, 14):
        from concurrent.futures import InterpreterPoolExecutor

        pools[POOL] = InterpreterPoolExecutor(1)
    else:
        skipped[POOL] = "new in Python 3.14"
    for pool in pools.values():
        stack.enter_context(pool)
        pool.submit(len, b"").result()
    return pools, skipped


def posts(settings: Settings) -> list[Row]:
    """Posted calls beside what the standard library's executors take for the same."""
    with ExitStack() as stack:
        pools, skipped = _pools(stack)
        idle = stack.enter_context(isthmus.create(name="bench idle"))
        busy = stack.enter_context(_busy_interpreter())
        for post in (idle.post, busy):
            post(len, b"").result()
        slow = 3 if settings.quick else 50
        asleep = [
            Contender("isthmus", _after_a_pause(idle.post), count=slow),
            *(Contender(name, _after_a_pause(each.submit), count=slow) for name, each in pools.items()),
        ]
        in_a_row = [
            Contender("isthmus", _in_a_row(idle.post), most=50_000),
            *(Contender(name, _in_a_row(each.submit), most=50_000) for name, each in pools.items()),
        ]
        beside = [
            Contender("isthmus", _after_a_pause(busy), count=slow),
            Contender(THREADS, _beside_a_busy_thread(pools[THREADS].submit), count=slow),
        ]
        measure(in_a_row, settings)
        measure(asleep, settings)
        measure(beside, settings)
    return [
        Row.of(
            "post to an idle owner",
            "post(len, b'').result() after 2 ms in which both sides sleep: median of a batch",
            "µs",
            asleep,
            scale=1e3,
            skipped=skipped,
        ),
        Row.of(
            "posts in a row",
            "time per post(len, b''), waiting for the last one only",
            "µs",
            in_a_row,
            scale=1e3,
            skipped=skipped,
        ),
        Row.of(
            "post to a busy owner",
            "the same as to an idle one, but the owner's own thread runs bytecode all the time; the peer's "
            "worker shares its GIL with such a thread, and so does who waits for it",
            "µs",
            beside,
            scale=1e3,
        ),
    ]


GROUPS: dict[str, Callable[[Settings], list[Row]]] = {"posts": posts}

"""Rows about interpreters: what creating one costs, and the memory of a large object that several hold."""

from __future__ import annotations

import _interpreters
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter_ns

import isthmus
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import AtMost, Row, WithinPeer
from isthmus.cli._bench.transports import QUEUE, Isthmus, Queues

__all__ = ["create", "memory"]

BARE = "_interpreters.create"


def create(settings: Settings) -> list[Row]:
    """Interpreters made and closed, beside the bare ones of CPython's private module."""
    created: dict[str, list[float]] = {"isthmus": [], BARE: []}

    def ours(count: int) -> list[float]:
        return cycle("isthmus", isthmus.create, lambda interpreter: interpreter.close(), count)

    def bare(count: int) -> list[float]:
        return cycle(BARE, _interpreters.create, _interpreters.destroy, count)

    def cycle(name: str, make: Callable[[], object], end: Callable[..., object], count: int) -> list[float]:
        start, making = perf_counter_ns(), 0
        for _ in range(count):
            begin = perf_counter_ns()
            interpreter = make()
            making += perf_counter_ns() - begin
            end(interpreter)
        created[name].append(making / count)
        return [(perf_counter_ns() - start) / count]

    contenders = [Contender("isthmus", ours, most=16), Contender(BARE, bare, most=16)]
    measure(contenders, settings)
    # The first batches only found out how many fit in one.
    timed = {name: samples[-settings.rounds :] for name, samples in created.items()}
    only_created = {name: [sample / 1e6 for sample in samples] for name, samples in timed.items()}
    return [
        Row(
            "create",
            "create(), and the bare interpreter with its own GIL that CPython's private module makes",
            "ms",
            only_created.pop("isthmus"),
            peers=only_created,
            goals=[WithinPeer(BARE, 1.05)],
        ),
        Row.of("create and close", "one interpreter created and closed", "ms", contenders, scale=1e6),
    ]


def memory(settings: Settings) -> list[Row]:
    """What 8 interpreters that hold one object, every page of it read, add to this process (PSS)."""
    size, interpreters = (1 << 26 if settings.quick else 1 << 30), 2 if settings.quick else 8
    # Copies are measured with less, so that the machine need not have 9 GiB.
    small = size // 16
    isthmus.enable()
    ours = _growth(lambda: Isthmus(1), size, interpreters)
    theirs = _growth(Queues, small, interpreters)
    return [
        Row(
            "memory held",
            f"growth of the process (PSS) once {interpreters} interpreters hold one bytes object of "
            f"{size >> 20} MiB and have read it all, over its size; the peer with {small / (1 << 20):g} MiB",
            "x",
            [ours],
            peers={QUEUE: [theirs]},
            goals=[] if settings.quick else [AtMost(1.02)],
        )
    ]


def _growth(make: Callable[[], Isthmus | Queues], size: int, interpreters: int) -> float:
    with ExitStack() as stack:
        workers = [stack.enter_context(make()) for _ in range(interpreters)]
        for worker in workers:
            # What a conversation needs by itself is not the object's cost.
            worker.greet()
        before = _proportional_bytes()
        value = b"\1" * size
        for worker in workers:
            worker.send(("hold",))
            worker.send(value)
            if worker.recv() != (size + 4095) // 4096:
                raise AssertionError("a worker did not receive what was sent")
        return (_proportional_bytes() - before) / size


def _proportional_bytes() -> int:
    """The proportional set size of this process: a page that is mapped n times counts 1/n each time."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/smaps_rollup has no Pss line")


GROUPS: dict[str, Callable[[Settings], Sequence[Row]]] = {"create": create, "memory": memory}

"""Rows about values on their way: `bytes` handed over, round trips awake and asleep, small messages."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns

import isthmus
from isthmus.cli._bench import loops
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import AtMost, Row, TimesPeer, WithinPeer
from isthmus.cli._bench.transports import QUEUE, Isthmus, Pipes, Threads, Transport, open_all

__all__ = ["asleep", "awake", "bulk", "handover", "messages"]

KIB, MIB = 1 << 10, 1 << 20
FUTEX, SPINNING = "raw futex, C++", "two spinning threads, C++"
FREE_THREADED = {"threads, free-threaded Python": "needs a free-threaded build; isthmus needs the stock one"}
#: Payload that a stream may have under way where every message is a copy.
MOST_COPIED = 512 * MIB


def _size_name(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def _stream(transport: Transport, value: object, most: int) -> Contender:
    def batch(count: int) -> list[float]:
        return [loops.stream(transport.send, transport.recv, value, count) / count]

    return Contender(transport.name, batch, most=most)


def _round_trips(transport: Transport, value: object, most: int = 1_000_000) -> Contender:
    def batch(count: int) -> list[float]:
        return [loops.round_trips(transport.send, transport.recv, value, count) / count]

    return Contender(transport.name, batch, most=most)


def _copies(value: bytes) -> Contender:
    view = memoryview(value)

    def batch(count: int) -> list[float]:
        start = perf_counter_ns()
        for _ in itertools.repeat(None, count):
            bytes(view)
        return [(perf_counter_ns() - start) / count]

    return Contender("a copy", batch)


def handover(settings: Settings) -> list[Row]:
    """Stream one `bytes` object to a worker that receives and drops it, by size, all sizes interleaved."""
    isthmus.enable()
    sizes = [64 * KIB, MIB] if settings.quick else [64 * KIB, MIB, 16 * MIB, 256 * MIB]
    contenders: dict[int, list[Contender]] = {}
    with ExitStack() as stack:
        served = open_all(stack, capacity=64)
        for size in sizes:
            value = isthmus.share(b"x" * size)
            most = max(1, MOST_COPIED // size)
            contenders[size] = [_stream(served[0], value, 100_000), _copies(value)]
            contenders[size] += [_stream(peer, value, most) for peer in served[1:]]
        one_thread = _alone(isthmus.share(b"x" * MIB))
        measure([*itertools.chain(*contenders.values()), *one_thread], settings)
    rows = [
        Row.of(
            f"handover {_size_name(size)}",
            f"time per object, streaming a bytes object of {_size_name(size)} to a worker that receives and "
            "drops each; warm slot, channel of 64",
            "µs",
            contenders[size],
            scale=1e3,
            goals=[AtMost(0.6)],
        )
        for size in sizes
    ]
    small, large = contenders[sizes[0]][0].samples, contenders[sizes[-1]][0].samples
    rows.append(
        Row(
            "handover constant",
            f"time per object of {_size_name(sizes[-1])} over that of {_size_name(sizes[0])}, round by round",
            "x",
            [b / a for a, b in zip(small, large, strict=True)],
            peers={
                "a copy": [
                    b / a
                    for a, b in zip(
                        contenders[sizes[0]][1].samples, contenders[sizes[-1]][1].samples, strict=True
                    )
                ]
            },
            goals=[AtMost(1.3)],
        )
    )
    rows.append(
        Row.of(
            "handover one thread",
            "send_nowait and recv of a 1 MiB bytes object by one thread: no waiting, no twin",
            "µs",
            one_thread,
            scale=1e3,
        )
    )
    return rows


def _alone(value: bytes) -> list[Contender]:
    recv, send = isthmus.create_channel(1)

    def batch(count: int) -> list[float]:
        return [loops.alone(send.send_nowait, recv.recv, value, count) / count]

    return [Contender("isthmus", batch), _copies(value)]


def awake(settings: Settings) -> list[Row]:
    """Round trips of a small int; both sides wait for nothing else, so isthmus spins."""
    with ExitStack() as stack:
        contenders = [_round_trips(one, 1) for one in open_all(stack, capacity=1)]
        floor, why = _futex("awake", 1000 if settings.quick else 20_000, 0, _two_cpus())
        if floor is not None:
            contenders.append(floor)
        measure(contenders, settings)
    return [
        Row.of(
            "round trip awake",
            "a small int to a worker and back, each side answering at once; one channel of 1 each way",
            "µs",
            contenders,
            scale=1e3,
            goals=[
                AtMost(1.2),
                TimesPeer(QUEUE, 5000),
                TimesPeer(Pipes.name, 25),
                TimesPeer(Threads.name, 40),
            ],
            skipped=FREE_THREADED if floor is not None else {SPINNING: why, **FREE_THREADED},
        )
    ]


def asleep(settings: Settings) -> list[Row]:
    """Round trips in which each side has idled before it sends, so that the other sleeps in the kernel."""
    gap_ns = 2_000_000
    cpus = _two_cpus()
    trips = 5 if settings.quick else 40

    def contender(transport: Transport) -> Contender:
        def batch(count: int) -> list[float]:
            return loops.round_trips_asleep(transport.send, transport.recv, count, gap_ns, cpus)

        # The polled queue takes some 10 ms for each hop.
        return Contender(
            transport.name, batch, count=max(2, trips // 4) if transport.name == QUEUE else trips
        )

    futex, why = _futex("asleep", trips, gap_ns, cpus)
    with ExitStack() as stack:
        contenders = [contender(one) for one in open_all(stack, capacity=1)]
        if futex is not None:
            contenders.insert(1, futex)
        measure(contenders, settings)
    return [
        Row.of(
            "round trip asleep",
            "a small int to a worker and back; each side idles 2 ms before it sends, the two on "
            f"{'CPUs of their own' if cpus[0] != cpus[1] else 'the only CPU'}; both hops, without the idling",
            "µs",
            contenders,
            scale=1e3,
            goals=[WithinPeer(FUTEX, 1.5)],
            skipped=FREE_THREADED if futex is not None else {FUTEX: why, **FREE_THREADED},
        )
    ]


def _two_cpus() -> tuple[int, int]:
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def _futex(mode: str, trips: int, gap_ns: int, cpus: tuple[int, int]) -> tuple[Contender | None, str]:
    """The C++ ping-pong as a contender, or the reason why it is missing."""
    folder = os.environ.get("ISTHMUS_BENCH_DIR")
    if not folder:
        return None, "ISTHMUS_BENCH_DIR is not set to the folder with futex_pingpong (make bench does so)"
    program = Path(folder, "futex_pingpong")
    if not os.access(program, os.X_OK):
        return None, f"no program {program}: build the preset bench"

    def batch(count: int) -> list[float]:
        call = [str(program), mode, str(count), str(gap_ns // 1000), *map(str, cpus)]
        done = subprocess.run(call, stdout=subprocess.PIPE, check=True)
        trips_ns = [float(one) for one in json.loads(done.stdout)["round_trips_ns"]]
        # Awake, a batch is one sample, as it is with the other contenders.
        return [sum(trips_ns) / count] if mode == "awake" else trips_ns

    return Contender(SPINNING if mode == "awake" else FUTEX, batch, count=trips), ""


def bulk(settings: Settings) -> list[Row]:
    """100 MB `bytes` to a worker and back, warm."""
    isthmus.enable()
    size = 1_000_000 if settings.quick else 100_000_000
    value = isthmus.share(b"x" * size)
    with ExitStack() as stack:
        served = open_all(stack, capacity=1)
        ours = served[0]
        ours.send(("echo", 1))
        ours.send(value)
        if ours.recv() is not value:
            raise AssertionError("what came back is not the object that was sent")
        contenders = [_round_trips(ours, value), *(_round_trips(peer, value, 4) for peer in served[1:])]
        measure(contenders, settings)
    return [
        Row.of(
            "100 MB there and back" if not settings.quick else "1 MB there and back",
            f"a bytes object of {size // 1_000_000} MB to a worker and back, warm; returns as the original",
            "µs",
            contenders,
            scale=1e3,
            goals=[TimesPeer(QUEUE, 10_000)],
        )
    ]


def messages(settings: Settings) -> list[Row]:
    """Small messages one way, one by one."""
    with ExitStack() as stack:
        served = open_all(stack, capacity=None)
        contenders = [_stream(one, 1, 200_000) for one in served]
        measure(contenders, settings)
    rates = {one.name: [1e3 / sample for sample in one.samples] for one in contenders}
    return [
        Row(
            "small messages",
            "small ints streamed to a worker with one send and one recv each; unbounded channel",
            "M/s",
            rates.pop(Isthmus.name),
            better="higher",
            peers=rates,
            skipped=FREE_THREADED,
            goals=[AtMost(5.0)],
        )
    ]


GROUPS: dict[str, Callable[[Settings], Sequence[Row]]] = {
    "handover": handover,
    "awake": awake,
    "asleep": asleep,
    "bulk": bulk,
    "messages": messages,
}

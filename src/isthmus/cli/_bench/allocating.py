"""What the rows about the allocator hook run: a program of its own, with isthmus or without it.

    allocating.py plain|hook small|stepped ROUNDS
    allocating.py plain|hook warm|first WORKLOAD BYTES

`plain` never imports isthmus. `small` and `stepped` only work, for whoever takes their time or counts their
instructions (`stepped`: with the marks that `stepping` wants). The others print samples in nanoseconds as
JSON; `first` is one sample, the first large object of the process. Exit status 3: the hook places nothing
here, so there is nothing to measure.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from itertools import repeat
from time import perf_counter_ns

PIECE = 1 << 16
#: Samples of a warm run, and nanoseconds that each takes at least.
SAMPLES, AT_LEAST = 5, 10_000_000
NOT_PLACED = 3


def switch_hook_on() -> None:
    """Import isthmus and place large objects; ends the process if that does not work here."""
    import isthmus

    isthmus.enable()
    before = isthmus.stats().slots_live
    probe = bytes(1 << 20)
    if isthmus.stats().slots_live != before + 1:
        print("large objects are not placed here: isthmus doctor says why", file=sys.stderr)
        sys.exit(NOT_PLACED)
    del probe


def small(rounds: int) -> None:
    """Objects as ordinary programs make them: none of them is large."""
    for number in repeat(7, rounds):
        record = {
            "id": number,
            "name": f"item {number}",
            "tags": [str(n) for n in range(10)],
            "size": 1.5 * number,
        }
        text = json.dumps(record)
        copy = json.loads(text)
        pairs = sorted((len(str(value)), key) for key, value in copy.items())
        words = text.replace(",", " ,").split()
        "".join([word.upper() for word in words]).encode()
        [bytes(size) for size in range(0, 2048, 128)]
        dict.fromkeys(words, pairs)


def stepped(rounds: int) -> None:
    """The same, warm, between two marks."""
    small(100)
    gc.collect()
    print("ready", flush=True)
    sys.stdin.readline()
    signal.raise_signal(signal.SIGUSR1)
    small(rounds)
    signal.raise_signal(signal.SIGUSR1)


def workloads(size: int, path: str) -> dict[str, Callable[[], object]]:
    """By name: functions that make one object of `size` bytes, which the caller drops."""
    pieces = [b"x" * PIECE] * (size // PIECE)
    text = "x" * PIECE
    file = os.open(path, os.O_RDONLY)

    def read() -> object:
        with open(path, "rb", buffering=0) as stream:
            return stream.read()

    def grow() -> object:
        whole = ""
        for _ in pieces:
            whole += text
        return whole

    def write() -> object:
        stream = io.BytesIO()
        for piece in pieces:
            stream.write(piece)
        return stream.getvalue()

    return {
        "pread": lambda: os.pread(file, size, 0),
        "join": lambda: b"".join(pieces),
        "read": read,
        "growing str": grow,
        "BytesIO": write,
    }


def warm(make: Callable[[], object]) -> list[float]:
    """Nanoseconds per object, once the memory is warm."""
    count, samples = 1, list[float]()
    while len(samples) < SAMPLES:
        start = perf_counter_ns()
        for _ in repeat(None, count):
            make()
        elapsed = perf_counter_ns() - start
        if elapsed >= AT_LEAST:
            samples.append(elapsed / count)
        else:
            count *= 2
    return samples


def first(make: Callable[[], object]) -> list[float]:
    """Nanoseconds for the first object of the process."""
    start = perf_counter_ns()
    made = make()
    elapsed = perf_counter_ns() - start
    del made
    return [float(elapsed)]


def main(mode: str, kind: str, *arguments: str) -> None:
    """The program; see the module's text."""
    if mode == "hook":
        switch_hook_on()
    if kind in ("small", "stepped"):
        # What was imported so far differs between the modes, and must not be the collector's work.
        gc.collect()
        gc.freeze()
        (small if kind == "small" else stepped)(int(arguments[0]))
        return
    name, size = arguments[0], int(arguments[1])
    with tempfile.NamedTemporaryFile() as file:
        piece = b"x" * PIECE
        for _ in range(size // PIECE):
            file.write(piece)
        file.flush()
        make = workloads(size, file.name)[name]
        print(json.dumps(warm(make) if kind == "warm" else first(make)))


if __name__ == "__main__":
    main(*sys.argv[1:])

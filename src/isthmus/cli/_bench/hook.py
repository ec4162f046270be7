"""Rows about the allocator hook: programs with it, beside the same programs without isthmus."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from isthmus.cli._bench import allocating, stepping
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import Row, WithinPeer

__all__ = ["large", "small"]

PLAIN = "without isthmus"
WORKLOADS = ("pread", "join", "read", "growing str", "BytesIO")


def _command(mode: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", allocating.__file__, mode, *arguments]


def _samples(mode: str, *arguments: str) -> list[float]:
    done = subprocess.run(_command(mode, *arguments), stdout=subprocess.PIPE, check=True)
    samples: list[float] = json.loads(done.stdout)
    return samples


# ---- small objects ----------------------------------------------------------------------------------------


def _count_with_perf(mode: str, rounds: int) -> float | None:
    if shutil.which("perf") is None:
        return None
    call = ["perf", "stat", "-x,", "-e", "instructions:u", "--", *_command(mode, "small", str(rounds))]
    done = subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_counting())
    found = re.search(r"^(\d+),[^,]*,instructions", done.stderr, re.MULTILINE)
    return float(found[1]) if done.returncode == 0 and found else None


def _count_by_stepping(mode: str, rounds: int) -> float | None:
    return stepping.count(_command(mode, "stepped", str(rounds)), _counting())


def _counting() -> dict[str, str]:
    # Equal hashes make equal dictionaries: the count must depend on nothing but the hook.
    return os.environ | {"PYTHONHASHSEED": "0"}


def _time(mode: str, rounds: int) -> float | None:
    start = time.perf_counter()
    done = subprocess.run(_command(mode, "small", str(rounds)), env=_counting())
    return time.perf_counter() - start if done.returncode == 0 else None


#: (what is counted, unit of the row, its size in counts, rounds of the workload, how)
_Counter = tuple[str, str, float, int, Callable[[str, int], float | None]]
COUNTERS: tuple[_Counter, ...] = (
    ("instructions retired, by perf", "M", 1e6, 3000, _count_with_perf),
    ("instructions retired, by single-stepping, warm", "M", 1e6, 1, _count_by_stepping),
    ("time, instructions not counted", "s", 1.0, 20_000, _time),
)


def small(settings: Settings) -> list[Row]:
    """The small-object workload in instructions where a counter works, else in time."""
    # Quick means quick: single-stepping takes half a minute.
    usable = COUNTERS[-1:] if settings.quick else COUNTERS
    works = [one for one in usable if one[4]("hook", 0) is not None]
    if not works:
        raise RuntimeError("the workload does not run with the hook")
    what, unit, scale, rounds, count = works[0]
    rounds = max(10, rounds // 20) if settings.quick else rounds

    def contender(name: str, mode: str) -> Contender:
        def batch(_: int) -> list[float]:
            # The difference of two lengths is free of start-up and import.
            short, long = count(mode, 0), count(mode, rounds)
            if short is None or long is None:
                raise RuntimeError(f"the counter of {what} failed")
            return [long - short]

        return Contender(name, batch, count=1)

    contenders = [contender("isthmus", "hook"), contender(PLAIN, "plain")]
    if count is _time:
        measure(contenders, settings)
    else:
        # Instructions do not warm up, hardly vary, and are slow to count.
        for one in contenders:
            one.samples.extend(one.batch(1))
    return [
        Row.of(
            "hook, small objects",
            f"{rounds} rounds of JSON, dicts, lists, sorting, small bytes with placement on: {what}",
            unit,
            contenders,
            scale=scale,
            goals=[WithinPeer(PLAIN, 1.01)],
        )
    ]


# ---- large objects ----------------------------------------------------------------------------------------


def large(settings: Settings) -> list[Row]:
    """Large objects made and dropped: on warm memory, and as the first ones of a process."""
    rows = [_large("warm", name, 1 << 20, 1.0, settings) for name in WORKLOADS]
    rows += [
        _large("first", name, (1 << 20) if settings.quick else (64 << 20), 1.25, settings)
        for name in WORKLOADS
    ]
    return rows


def _large(kind: str, name: str, size: int, bound: float, settings: Settings) -> Row:
    def contender(label: str, mode: str) -> Contender:
        return Contender(label, lambda _: _samples(mode, kind, name, str(size)), count=1)

    contenders = [contender("isthmus", "hook"), contender(PLAIN, "plain")]
    few = Settings(
        1 if settings.quick else 3 if kind == "warm" else 7, settings.batch_seconds, settings.quick
    )
    measure(contenders, few)
    what = {
        "warm": "made and dropped again and again",
        "first": "as the first large object of a fresh process",
    }[kind]
    return Row.of(
        f"hook, {kind} {name}",
        f"an object of {size >> 20} MiB by {name}, {what}, with placement on",
        "µs",
        contenders,
        scale=1e3,
        goals=[WithinPeer(PLAIN, bound)],
    )


GROUPS: dict[str, Callable[[Settings], Sequence[Row]]] = {"hook-small": small, "hook-large": large}

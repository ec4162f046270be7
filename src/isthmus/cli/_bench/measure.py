"""Contenders measured side by side: one batch of each in turn, A B A B, so that drift hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["FULL", "QUICK", "Contender", "Settings", "measure"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured. `quick` is for tests: it shows that the rows work, not what they cost."""

    rounds: int
    batch_seconds: float
    quick: bool = False


FULL = Settings(rounds=7, batch_seconds=0.12)
QUICK = Settings(rounds=2, batch_seconds=0.005, quick=True)


@dataclass(slots=True)
class Contender:
    """One way to do the work. `batch(count)` does it `count` times and returns the sample or samples.

    A sample is nanoseconds per operation, or whatever unit the row has. Without `count` it is chosen so that
    a batch takes as long as the settings say, `most` at the utmost.
    """

    name: str
    batch: Callable[[int], Sequence[float]]
    #: fixed; then nothing is run before the rounds, for what is slow, or starts cold on purpose
    count: int | None = None
    most: int = 1_000_000
    samples: list[float] = field(default_factory=list)


def measure(contenders: Sequence[Contender], settings: Settings) -> None:
    """Fill the samples of all contenders. The batches that find the right count also warm everything up."""
    counts = [_calibrate(one, settings) for one in contenders]
    for _ in range(settings.rounds):
        for one, count in zip(contenders, counts, strict=True):
            one.samples.extend(one.batch(count))


def _calibrate(one: Contender, settings: Settings) -> int:
    if one.count is not None:
        return one.count
    one.batch(1)
    count, last = 1, False
    while True:
        start = time.perf_counter()
        one.batch(count)
        elapsed = time.perf_counter() - start
        long_enough = elapsed >= settings.batch_seconds / 4
        fitting = max(1, min(one.most, round(count * settings.batch_seconds / elapsed)))
        if last or (long_enough and fitting <= 4 * count):
            return fitting
        # One batch that was held up must not decide: small batches measure how they begin.
        last = long_enough or count >= one.most
        count = fitting if long_enough else min(one.most, count * 4)

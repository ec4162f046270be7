"""A row of the benchmarks: what was measured, what its peers took, and what the design asks for."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from isthmus.cli._bench.measure import Contender

__all__ = ["AtMost", "Goal", "Row", "TimesPeer", "WithinPeer", "summarise"]

Better = Literal["lower", "higher"]


def summarise(samples: Sequence[float]) -> dict[str, float]:
    """Median, extremes and number of `samples`."""
    return {
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "n": len(samples),
    }


@dataclass(frozen=True, slots=True)
class AtMost:
    """The row's median is at most `bound` (lower is better) or at least `bound` (higher is better)."""

    bound: float

    def judge(self, row: Row) -> dict[str, Any] | None:
        """What came out; `margin` is 1 where the goal is just met, more where it is exceeded."""
        value = row.median
        lower = row.better == "lower"
        margin = self.bound / value if lower else value / self.bound
        return _verdict(f"{'≤' if lower else '≥'} {self.bound:g} {row.unit}", value, self.bound, margin)


@dataclass(frozen=True, slots=True)
class TimesPeer:
    """The row is at least `bound` times better than `peer`."""

    peer: str
    bound: float

    def judge(self, row: Row) -> dict[str, Any] | None:
        """Like `AtMost.judge`; None: the peer was not measured."""
        ratio = row.ratio_to(self.peer)
        if ratio is None:
            return None
        return _verdict(f"≥ {self.bound:g} x {self.peer}", ratio, self.bound, ratio / self.bound)


@dataclass(frozen=True, slots=True)
class WithinPeer:
    """The row costs at most `bound` times what `peer` costs."""

    peer: str
    bound: float

    def judge(self, row: Row) -> dict[str, Any] | None:
        """Like `TimesPeer.judge`."""
        ratio = row.ratio_to(self.peer)
        if ratio is None:
            return None
        return _verdict(
            f"≤ {self.bound:g} x the cost of {self.peer}", 1 / ratio, self.bound, self.bound * ratio
        )


def _verdict(text: str, value: float, bound: float, margin: float) -> dict[str, Any]:
    return {"text": text, "value": value, "bound": bound, "margin": margin, "met": margin >= 1.0}


Goal = AtMost | TimesPeer | WithinPeer


@dataclass(slots=True)
class Row:
    """One line of the table. Samples are in `unit`."""

    name: str
    what: str
    unit: str
    samples: Sequence[float]
    better: Better = "lower"
    #: by name, the first one is the row's main peer
    peers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: peers that could not be measured, and why
    skipped: Mapping[str, str] = field(default_factory=dict)
    goals: Sequence[Goal] = ()
    #: what the reader should know about these figures
    note: str = ""

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @classmethod
    def of(
        cls,
        name: str,
        what: str,
        unit: str,
        contenders: Sequence[Contender],
        *,
        goals: Sequence[Goal] = (),
        scale: float = 1.0,
        skipped: Mapping[str, str] | None = None,
        note: str = "",
    ) -> Row:
        """A row of measured contenders, isthmus first; samples are divided by `scale`. Lower is better."""
        scaled = {one.name: [sample / scale for sample in one.samples] for one in contenders}
        ours = scaled.pop(contenders[0].name)
        return cls(name, what, unit, ours, peers=scaled, goals=goals, skipped=skipped or {}, note=note)

    def ratio_to(self, peer: str) -> float | None:
        """How many times better isthmus is than `peer`, by medians; None: not measured."""
        samples = self.peers.get(peer)
        if samples is None:
            return None
        theirs = statistics.median(samples)
        return theirs / self.median if self.better == "lower" else self.median / theirs

    def as_json(self) -> dict[str, Any]:
        """The row as `isthmus bench --json` prints it; docs/benchmarks.md describes the fields."""
        peers: dict[str, dict[str, Any]] = {
            name: {**summarise(samples), "ratio": self.ratio_to(name)} for name, samples in self.peers.items()
        }
        peers |= {name: {"skipped": why} for name, why in self.skipped.items()}
        verdicts = [verdict for goal in self.goals if (verdict := goal.judge(self)) is not None]
        ratios = [self.ratio_to(name) for name in self.peers]
        complete = len(verdicts) == len(self.goals) > 0
        met = all(verdict["met"] for verdict in verdicts)
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "better": self.better,
            **summarise(self.samples),
            "peers": peers,
            "ratio": ratios[0] if ratios else None,
            "target": "; ".join(verdict["text"] for verdict in verdicts) or None,
            "target_ratio": min((verdict["margin"] for verdict in verdicts), default=None),
            # Where a peer is missing, its goal is open, and so is the row unless another one is missed.
            "met": met if complete or (verdicts and not met) else None,
            "goals": verdicts,
            "note": self.note,
        }

"""The end of a round: everything the runtime counts, against what the workers wrote down."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path

import isthmus
from isthmus import _isthmus

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))
from _accounts import PATIENCE as PATIENCE
from _accounts import gauges, unsettled
from _accounts import until as until

MAPPINGS_PER_INTERPRETER = 24  # CPython's allocators do not give all of theirs back


def everything() -> dict[str, object]:
    """The gauges, and what only a process of its own can count."""
    return gauges() | {
        "channels": len(isthmus.list_all_channels()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def mappings() -> int:
    return Path("/proc/self/maps").read_bytes().count(b"\n")


def kernel_threads() -> int:
    return len(os.listdir("/proc/self/task"))


class Baseline:
    def __init__(self) -> None:
        gc.collect()
        until(lambda: not unsettled(), PATIENCE)
        self.gauges = everything()
        self.mappings = mappings()
        self.threads = kernel_threads()

    def differences(self, interpreters: int, patience: float = PATIENCE) -> list[str]:
        """`patience`: seconds until what still differs is said to be left."""
        gc.collect()
        until(lambda: everything() == self.gauges and not unsettled(), patience)
        until(lambda: kernel_threads() <= self.threads, patience)
        now = everything()
        found = [
            f"{name}: {now[name]} at the end, {was} at the start"
            for name, was in self.gauges.items()
            if now[name] != was
        ]
        found += [f"{name} not settled: {value}" for name, value in unsettled().items()]
        if kernel_threads() > self.threads:
            found.append(f"threads of the process: {kernel_threads()}, {self.threads} at the start")
        # Idle blocks of the arena stay mapped, up to the cap; they are counted by the runtime itself.
        own = _isthmus.doctor_facts()["mappings"]
        allowed = self.mappings + own + MAPPINGS_PER_INTERPRETER * interpreters + 200
        if mappings() > allowed:
            found.append(f"mappings: {mappings()}, at most {allowed} expected")
        return found


class Books:
    """The sums of all ledgers."""

    def __init__(self, folder: Path, forgiven: set[int]) -> None:
        self.forgiven = forgiven
        self.deeds: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.unsure_sent: Counter[str] = Counter()
        self.unsure_received: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()
        self.mismatches: list[str] = []
        self.killed = 0
        for path in sorted(folder.glob("*.ledger")):
            self._add(path)

    def _add(self, path: Path) -> None:
        text = path.read_text()
        if not text and int(path.stem) in self.forgiven:
            return
        if not text:
            self.mismatches.append(f"the worker of {path.name} wrote nothing down")
            return
        facts = json.loads(text)
        self.mismatches += facts["mismatches"]
        self.killed += facts["killed"]
        for name in ("deeds", "sent", "received", "unsure_sent", "unsure_received"):
            getattr(self, name).update(facts[name])
        for name in ("puts", "gets", "added", "unsure_added", "unsure_puts", "unsure_gets"):
            self.numbers[name] += facts[name]

    def channel_differences(self, end: isthmus.SendChannel) -> list[str]:
        key, counts = str(end.id), end.statistics()
        found = []
        for name, counted in (("sent", counts.sent), ("received", counts.received)):
            sure = getattr(self, name)[key]
            unsure = getattr(self, f"unsure_{name}")[key]
            if not sure <= counted <= sure + unsure:
                found.append(f"channel {key}: {name} {counted}, the workers' sum {sure} (+ {unsure} unsure)")
        if counts.sent != counts.received + counts.dropped + counts.buffered:
            found.append(f"channel {key}: {counts} does not balance")
        return found

    def queue_differences(self, left: int) -> list[str]:
        numbers = self.numbers
        # A kill between an operation and the line that writes it down: one of each a killed worker.
        most_in = numbers["puts"] + numbers["unsure_puts"] + self.killed
        most_out = numbers["gets"] + left + numbers["unsure_gets"] + self.killed
        if most_in < numbers["gets"] + left or most_out < numbers["puts"]:
            return [f"queue: {dict(numbers)}, {left} left at the end, {self.killed} killed"]
        return []

    def cell_differences(self, counted: int) -> list[str]:
        sure = self.numbers["added"]
        if sure <= counted <= sure + self.numbers["unsure_added"]:
            return []
        return [f"shared counter: {counted}, the workers' sum {sure} (+ {self.numbers['unsure_added']})"]

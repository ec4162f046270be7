"""The end of a round: everything the runtime counts, against what the workers wrote down."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import isthmus
from isthmus import _isthmus

PATIENCE = 20.0  # seconds until what must become true is said never to; much, for a busy machine
MAPPINGS_PER_INTERPRETER = 24  # CPython's allocators do not give all of theirs back


def gauges() -> dict[str, Any]:
    taken = isthmus.stats()
    return {
        "twins_live": taken.twins_live,
        "shares_outstanding": taken.shares_outstanding,
        "slots_live": taken.slots_live,
        "views_live": taken.views_live,
        "shared_buffers_live": taken.shared_buffers_live,
        "shared_buffer_bytes": taken.shared_buffer_bytes,
        "guarded_bytesio": _isthmus.doctor_facts()["guarded_bytesio"],
        "interpreters": [each.id for each in isthmus.list_all()],
        "channels": len(isthmus.list_all_channels()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def unsettled() -> dict[str, Any]:
    taken = isthmus.stats()
    pairs = {"releases": (taken.releases_posted, taken.releases_run)}
    if hasattr(taken, "pending_calls_posted"):
        pairs["pending calls"] = (taken.pending_calls_posted, getattr(taken, "pending_calls_run"))  # noqa: B009
    found: dict[str, Any] = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if any(taken.inbox_depths.values()):
        found["inbox_depths"] = dict(taken.inbox_depths)
    if taken.bytes_resident > _isthmus.doctor_facts()["resident_budget"]:
        found["bytes_resident"] = taken.bytes_resident
    return found


def mappings() -> int:
    return Path("/proc/self/maps").read_bytes().count(b"\n")


def kernel_threads() -> int:
    return len(os.listdir("/proc/self/task"))


class Baseline:
    def __init__(self) -> None:
        gc.collect()
        until(lambda: not unsettled())
        self.gauges = gauges()
        self.mappings = mappings()
        self.threads = kernel_threads()

    def differences(self, interpreters: int, patience: float = PATIENCE) -> list[str]:
        """`patience`: seconds until what still differs is said to be left."""
        gc.collect()
        until(lambda: gauges() == self.gauges and not unsettled(), patience)
        until(lambda: kernel_threads() <= self.threads, patience)
        now = gauges()
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


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


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

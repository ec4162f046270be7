"""What a worker is told, and what it writes down: a ledger that is independent of what isthmus counts."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
from collections import Counter
from collections.abc import Iterator

import isthmus

#: What a round may do to somebody's operation at any time; the offer or the wait is over then, nothing else.
REFUSALS = (TimeoutError, EOFError, ValueError, isthmus.QueueEmpty, isthmus.QueueFull)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a worker is told: it crosses like any other value."""

    seed: int  # of the round: what payloads are made of
    choices: int  # seed of this worker's choices
    lane: int  # no other worker of the round has it
    place: int
    until: float  # monotonic
    killed_after: float | None  # seconds
    ledger: str  # path of the file for what it did
    control: str  # path of the file in which the director and the workers signal one another
    wrong: str  # what is broken on purpose, or ""
    switch_interval: float
    gc_threshold: int


@dataclasses.dataclass
class Ends:
    inbox: isthmus.RecvChannel
    inbox_id: int
    peers: list[isthmus.SendChannel]
    queue: isthmus.Queue
    cells: isthmus.SharedBuffer


class Ledger:
    """What was done, in a file that is opened at once: there may be no descriptor left when it is written."""

    def __init__(self, path: str) -> None:
        self.file = io.FileIO(path, "w")
        self.complete = False  # all is written, and nothing may be done any more that has to be
        self.deeds: Counter[str] = Counter()
        self.sent: Counter[int] = Counter()  # by channel id
        self.received: Counter[int] = Counter()
        #: Begun and not known to have ended well: interrupted in the middle, or out of memory.
        self.unsure_sent: Counter[int] = Counter()
        self.unsure_received: Counter[int] = Counter()
        self.under_way: tuple[Counter[int], int, int] | None = None
        self.puts = self.gets = self.added = self.unsure_added = self.unsure_puts = self.unsure_gets = 0

    @contextlib.contextmanager
    def unsure(self, into: Counter[int], channel: int, count: int = 1) -> Iterator[None]:
        """Around an operation. What ends by one of REFUSALS did not happen."""
        self.under_way = (into, channel, count)
        try:
            yield
        except (*REFUSALS, isthmus.InterpreterError):
            self.under_way = None
            raise
        except BaseException:
            self.settle()
            raise
        self.under_way = None

    @contextlib.contextmanager
    def unsure_get(self) -> Iterator[None]:
        """Around taking an item out of the queue."""
        try:
            yield
        except isthmus.ItemInterpreterDestroyed:
            self.gets += 1
            raise
        except (*REFUSALS, isthmus.InterpreterError):
            raise
        except BaseException:
            self.unsure_gets += 1
            raise

    def settle(self) -> None:
        if self.under_way is not None:
            into, channel, count = self.under_way
            into[channel] += count
            self.under_way = None

    def write(self, mismatches: list[str], killed: bool) -> None:
        self.settle()
        facts = {
            name: value for name, value in vars(self).items() if name not in ("file", "complete", "under_way")
        }
        whole = json.dumps(facts | {"mismatches": mismatches, "killed": killed}).encode()
        os.ftruncate(self.file.fileno(), 0)
        os.pwrite(self.file.fileno(), whole, 0)
        self.complete = True

    def close(self) -> None:
        """May be called again."""
        self.file.close()

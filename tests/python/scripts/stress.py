"""A random program over several interpreters, which leaves nothing behind: `stress.py SEED SECONDS`."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time

import stress_worker
from common import counters_balance, eventually, joined, nothing_is_held, run_in_thread

import isthmus
from isthmus import _isthmus

RUN = "import stress_worker; done = stress_worker.work(seed, until, inbox, peers); del inbox, peers"


class Place:
    """One worker's inbox, interpreter and thread; the interpreter is replaced now and then."""

    def __init__(self) -> None:
        self.recv, self.send = isthmus.create_channel(8)
        self.interpreter: isthmus.Interpreter | None = None
        self.thread: threading.Thread | None = None

    def start(self, seed: int, until: float, peers: list[isthmus.SendChannel]) -> None:
        self.interpreter = isthmus.create()
        self.thread = run_in_thread(
            self.interpreter, RUN, {"seed": seed, "until": until, "inbox": self.recv, "peers": tuple(peers)}
        )


class Program:
    def __init__(self, seed: int, seconds: float) -> None:
        self.random = random.Random(seed)
        self.until = time.monotonic() + seconds
        self.places = [Place() for _ in range(self.random.randrange(3, 7))]
        self.replaced = 0

    def peers(self) -> list[isthmus.SendChannel]:
        return [place.send for place in self.places]

    def start(self, place: Place) -> None:
        place.start(self.random.randrange(1 << 30), self.until, self.peers())

    def stop(self, place: Place) -> None:
        """By a message, or by closing our own ends under it; then end the interpreter."""
        assert place.thread is not None
        assert place.interpreter is not None
        while place.thread.is_alive():
            try:
                place.send.send(("stop",), timeout=0.02)
            except (TimeoutError, EOFError):
                place.thread.join(0.01)
        joined(place.thread)
        if self.random.random() < 0.5:
            place.interpreter.close()
        place.interpreter = place.thread = None

    def replace(self, place: Place) -> None:
        self.stop(place)
        if (
            self.random.random() < 0.6
        ):  # with what lies in its inbox, or with a new one that the others learn of
            place.recv.close()
            place.send.close()
            place.recv, place.send = isthmus.create_channel(8)
            number = self.places.index(place)
            for other in self.places:
                if other is not place:
                    with contextlib.suppress(EOFError):  # its worker has just ended
                        other.send.send_nowait(("peer", number, place.send))
        self.start(place)
        self.replaced += 1

    def run(self) -> None:
        for place in self.places:
            self.start(place)
        # Main takes part under the GIL of its own, between its other deeds.
        inbox, own = isthmus.create_channel(8)
        for place in self.places:
            with contextlib.suppress(EOFError):
                place.send.send_nowait(("peer", 0, own))
        here = stress_worker.Worker(self.random.randrange(1 << 30), inbox, self.peers())
        while time.monotonic() < self.until:
            here.peers[:] = self.peers()
            here.work(min(self.until, time.monotonic() + self.random.random() / 4))
            if self.random.random() < 0.3:
                self.replace(self.random.choice(self.places))
        for place in self.random.sample(self.places, len(self.places)):
            self.stop(place)
            # Channels that carry each other's ends and are never closed keep each other alive.
            place.recv.close()
        inbox.close()
        print(
            f"{here.done} deeds of main, {self.replaced} interpreters replaced, {len(self.places)} at a time"
        )


def main(seed: int, seconds: float) -> None:
    print(f"ISTHMUS_TEST_SEED={seed}", flush=True)
    Program(seed, seconds).run()
    eventually(nothing_is_held, "everything given back")
    eventually(counters_balance, "counters balance")
    stats = isthmus.stats()
    facts = _isthmus.doctor_facts()
    assert stats.bytes_resident <= facts["resident_budget"], stats
    assert facts["guarded_bytesio"] == 0, facts
    assert len(isthmus.list_all()) == 1
    print(stats)


main(int(sys.argv[1]), float(sys.argv[2]))

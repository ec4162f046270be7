"""What every interpreter of the stress test runs: random deeds with what it has, checked by checksums."""

from __future__ import annotations

import contextlib
import io
import random
import time
import zlib
from typing import Any

import isthmus

type Ends = list[isthmus.SendChannel]


class Worker:
    """One interpreter's part. Messages are (deed, ...) tuples; payloads travel as (sum, value)."""

    def __init__(self, seed: int, inbox: isthmus.RecvChannel, peers: Ends) -> None:
        self.random = random.Random(seed)
        self.inbox = inbox
        self.peers = peers
        self.kept: list[tuple[int, bytes | str]] = []
        self.done = 0

    def work(self, until: float) -> int:
        """Until the monotonic time `until`, or a message ("stop",), or the inbox is closed."""
        deeds = [
            self.make,
            self.receive,
            self.receive,
            self.forward,
            self.send_many,
            self.drop,
            self.abuse,
            self.wait,
        ]
        with contextlib.suppress(EOFError, ValueError):
            while time.monotonic() < until and self.random.choice(deeds)() is not False:
                self.done += 1
        return self.done

    def make(self) -> None:
        size = self.random.choice((10, 60_000, 65_536, 70_000, 200_000, 1_000_000))
        if self.random.random() < 0.5:
            value: bytes | str = self.random.randbytes(1009) * (size // 1009 + 1)
        else:
            value = "".join(self.random.choices("abé€😀", k=97)) * (size // 97 + 1)
        self.kept.append((summed(value), value))

    def receive(self) -> bool | None:
        got = self.inbox.recv_nowait()
        return None if got is None else self.take(got)

    def wait(self) -> bool | None:
        try:
            return self.take(self.inbox.recv(timeout=self.random.random() / 100))
        except TimeoutError:
            return None

    def take(self, got: tuple[Any, ...]) -> bool | None:
        deed, *rest = got
        if deed == "stop":
            return False
        if deed == "peer":
            place, end = rest
            self.peers[place] = end
        elif deed == "none":
            pass
        else:
            for total, value in rest:
                assert summed(value) == total, f"a payload of {len(value)} changed on its way"
                self.kept.append((total, value))
        return None

    def post(self, message: tuple[Any, ...]) -> None:
        place = self.random.randrange(len(self.peers))
        try:
            if self.random.random() < 0.7:
                self.peers[place].send_nowait(message)
            else:
                self.peers[place].send(message, timeout=0.005)
        except (TimeoutError, EOFError, ValueError):
            pass  # full, or its receiver is gone: what did not arrive is still ours

    def forward(self) -> None:
        if self.kept:
            self.post(("data", self.random.choice(self.kept)))

    def send_many(self) -> None:
        if self.kept:
            self.post(("data", *self.random.choices(self.kept, k=3)))
        else:
            self.post(
                ("none", self.random.choice(self.peers), isthmus.get_current(), [1, {2: b"p" * 70_000}])
            )

    def drop(self) -> None:
        while len(self.kept) > 12 or (self.kept and self.random.random() < 0.6):
            self.kept.pop(self.random.randrange(len(self.kept)))

    def abuse(self) -> None:
        """Whatever this does to our object, nobody else may see it."""
        if not self.kept:
            return
        _, value = self.kept.pop(self.random.randrange(len(self.kept)))
        if isinstance(value, bytes):
            stream = io.BytesIO(value)
            del value
            stream.write(b"!" * self.random.randrange(1, 100_000))
            stream.getbuffer()[:1] = b"?"
        else:
            {value: 1}[value] += 1
            value += "!" * self.random.randrange(100_000)
            self.kept.append((summed(value), value))


def summed(value: bytes | str) -> int:
    return zlib.crc32(value if isinstance(value, bytes) else value.encode())


def work(seed: int, until: float, inbox: isthmus.RecvChannel, peers: tuple[isthmus.SendChannel, ...]) -> int:
    worker = Worker(seed, inbox, list(peers))
    done = worker.work(until)
    assert all(summed(value) == total for total, value in worker.kept)
    return done

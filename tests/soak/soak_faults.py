"""What goes wrong from outside while the workers work: limits, failing allocations, signals, collections."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import isthmus
import soak_payloads as model

MIB = 1024 * 1024
#: Not those whose making CPython itself gets wrong without memory (bytearray, a new function).
LAST = (1 << 31) - 1  # serial numbers from here down: nobody else's
# And only what needs no Python code: CPython 3.13 frees the code of a nested function once too often if
# there is no memory for the function.
STARVED = ("small", "bytes", "str", "pair of texts")


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def data_space() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmData")


class Faults:
    """Called by the director alone, in the main thread of the main interpreter, never while it makes or
    ends an interpreter.
    """

    def __init__(self, seed: int, limits_used: Callable[[], None]) -> None:
        self.random = random.Random(f"{seed}:faults")
        self.count: Counter[str] = Counter()
        self._limits_used = limits_used
        self._values = self._starved_values(seed)
        signal.signal(signal.SIGUSR1, self._signalled)
        signal.signal(signal.SIGALRM, self._signalled)

    def _signalled(self, number: int, frame: object) -> None:
        self.count["signals handled"] += 1

    def _starved_values(self, seed: int) -> list[tuple[int, Any]]:
        serials = (LAST - n for n in range(len(model.DRAWN)))
        return [(n, model.make(seed, n)) for n in serials if model.kind_of(n) in STARVED]

    def close(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)  # one may still be on its way

    def some(self) -> None:
        """One fault at random. Takes at most a tenth of a second, but for `starve`."""
        fault = self.random.choice((self.little_memory, self.few_descriptors, self.signals, self.collect))
        fault()

    def little_memory(self) -> None:
        """For a moment, the kernel refuses almost all further memory, or all of it."""
        which, used = self.random.choice(
            ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_DATA, data_space))
        )
        left = self.random.choice((0, MIB, 16 * MIB))
        self._limited(which, used() + left)
        self.count["memory limited"] += 1

    def few_descriptors(self) -> None:
        self._limited(resource.RLIMIT_NOFILE, self.random.choice((3, 16)))
        self.count["descriptors limited"] += 1

    def _limited(self, which: int, to: int) -> None:
        self._limits_used()
        soft, hard = resource.getrlimit(which)
        duration = self.random.choice((0.001, 0.01, 0.05))
        resource.setrlimit(which, (to, hard))
        try:
            time.sleep(duration)
        finally:
            resource.setrlimit(which, (soft, hard))

    def signals(self) -> None:
        """To this process, now and in a moment, when whatever the main thread waits for is interrupted."""
        for _ in range(self.random.randrange(1, 5)):
            os.kill(os.getpid(), signal.SIGUSR1)
        signal.setitimer(signal.ITIMER_REAL, self.random.choice((0.001, 0.02)))
        self.count["signals sent"] += 1

    def collect(self) -> None:
        gc.collect()
        sys.setswitchinterval(self.random.choice((1e-6, 1e-4, 0.005, 0.5)))
        self.count["collections, switch intervals"] += 1

    def starve(self, seed: int, times: int) -> None:
        """One allocation fails in the middle of a send or a receive. Nobody else may allocate meanwhile:
        what fails is CPython's allocators, in all interpreters, and they are exchanged under no lock.
        """
        try:
            import _testcapi  # type: ignore[import-not-found]
        except ImportError:  # a Python without its own tests
            return
        r, s = isthmus.create_channel(None)
        for _ in range(times):
            serial, value = self.random.choice(self._values)
            start = self.random.randrange(1, 60)
            receiving = self.random.random() < 0.5
            if receiving:
                s.send(value)
            try:
                _testcapi.set_nomemory(start, start + 1)
                if receiving:
                    r.recv()
                else:
                    s.send(value)
            except MemoryError:
                self.count["allocations failed"] += 1
            finally:
                _testcapi.remove_mem_hooks()
            self._drain(seed, serial, r)
            model.check(seed, serial, value, "after an allocation failed")
        r.close()
        s.close()

    @staticmethod
    def _drain(seed: int, serial: int, r: isthmus.RecvChannel) -> None:
        left = r.recv_nowait(r)
        while left is not r:
            model.check(seed, serial, left, "received after an allocation failed")
            left = r.recv_nowait(r)

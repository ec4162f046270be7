"""One interpreter's part of a round: random deeds, whose payloads are compared with the model on every
receipt and again before they are dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import io
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import isthmus
import soak_payloads as model
from soak_ledger import REFUSALS, Ends, Plan
from soak_passing import Passing

KEPT: list[Any] = []  # what is still held when the interpreter is closed


class Worker(Passing):
    def __init__(self, plan: Plan, ends: Ends) -> None:
        super().__init__(plan, ends)
        self.sleepers: list[threading.Thread] = []
        self.table: list[Callable[[], None]] = [
            *(self.make, self.make, self.receive, self.receive, self.receive_many, self.wait, self.select),
            *(self.send, self.send, self.send_many, self.send_memory, self.send_side, self.put, self.get),
            *(self.abuse, self.abuse, self.drop, self.drop, self.count, self.await_cell, self.collect),
            *(self.share, self.sleep_in_a_thread, self.ask, self.clone),
        ]

    # -- deeds with what it holds ------------------------------------------------------------------------

    def share(self) -> None:
        if self.held:
            place = self.random.randrange(len(self.held))
            serial, hops, home, value = self.held[place]
            shared = isthmus.share(value)
            self.check(serial, shared, "shared")
            if home != self.plan.lane or serial not in self.originals:
                self.held[place] = (serial, hops, home, shared)

    def clone(self) -> None:
        """Through a channel of its own: the way out and in without another interpreter."""
        serial = self.serial()
        r, s = isthmus.create_channel(1)
        s.send(model.make(self.plan.seed, serial))
        self.check(serial, r.recv(timeout=0), "received at home")
        for each in (r, s):
            each.close()

    def abuse(self) -> None:
        """Whatever this does to our object, nobody else may see it."""
        large = [each for each in self.held if type(each[3]) in (bytes, str)]
        if not large:
            return
        serial, _, _, value = self.random.choice(large)
        if isinstance(value, bytes):
            stream = io.BytesIO(value)
            changed = self.random.randrange(1, 100_000)
            stream.write(b"!" * changed)
            with stream.getbuffer() as window:
                window[:1] = b"?"
            if self.random.random() < 0.5:
                stream.truncate(self.random.randrange(100_000))
        else:
            {value: 1}[value] += 1
            longer = value
            longer += "!" * self.random.randrange(100_000)
            del longer
        self.check(serial, value, "after its holder tried to change it")

    def drop(self) -> None:
        while len(self.held) > 8 or (self.held and self.random.random() < 0.5):
            serial, _, _, value = self.held.pop(self.random.randrange(len(self.held)))
            self.check(serial, value, "before it was dropped")
        while len(self.memories) > 4 or (self.memories and self.random.random() < 0.5):
            serial_of, memory = self.memories.pop(self.random.randrange(len(self.memories)))
            self.check_memory(serial_of, memory, "before it was dropped")

    def count(self) -> None:
        more = self.random.randrange(1000)
        self.ledger.unsure_added += more
        self.cells.add(0, more)
        self.ledger.added += more
        self.ledger.unsure_added -= more
        if self.random.random() < 0.3:
            self.cells.store(1, self.random.randrange(3))
            self.cells.notify(1)

    def await_cell(self) -> None:
        self.cells.wait(1, self.random.randrange(3), timeout=self.timeout())

    def collect(self) -> None:
        gc.collect(self.random.randrange(3))

    def sleep_in_a_thread(self) -> None:
        """A thread that waits for what never comes: closing its interpreter ends the wait."""
        if len(self.sleepers) >= 2 or self.random.random() < 0.7:
            return
        r, s = isthmus.create_channel(0)
        payload = model.noise(self.random, 70_000)
        cells = isthmus.SharedBuffer(8).atomic("q")
        how = self.random.choice(("receive", "send", "cell"))

        def wait() -> None:
            with contextlib.suppress(isthmus.InterpreterError, EOFError):
                if how == "receive":
                    r.recv()
                elif how == "send":
                    s.send(payload)
                else:
                    cells.wait(0, 0)

        thread = threading.Thread(target=wait)
        thread.start()
        KEPT.append((r, s))  # the channel does not end before its interpreter does
        self.sleepers.append(thread)

    def ask(self) -> None:
        """Questions about objects, whose answers are not checked: they must not harm."""
        isthmus.stats()
        for _, _, _, value in self.held[:3]:
            isthmus.describe(value)
            isthmus.owner(value)
            isthmus.is_shareable(value)

    # -- the run -----------------------------------------------------------------------------------------

    def work(self) -> None:
        while self.alive and not self.control.shall_end and time.monotonic() < self.plan.until:
            if self.control.shall_pause:
                self.deeds["pauses"] += 1
                self.control.pause()
            deed = self.random.choice(self.table)
            try:
                deed()
            except REFUSALS:
                self.deeds["refusals"] += 1
                if self.ends.inbox.is_closed:
                    return
            except isthmus.ItemInterpreterDestroyed:
                self.deeds["items of gone interpreters"] += 1
            except MemoryError:
                self.deeds["out of memory"] += 1
            except (OSError, RuntimeError) as failure:
                # No descriptor, no thread: what limits refuse; the director says when there are any.
                if not self.control.limits_used or isinstance(failure, isthmus.InterpreterError):
                    raise
                self.deeds["refused by a limit"] += 1
            self.deeds[deed.__name__] += 1

    def check_all(self) -> None:
        for serial, _, _, value in self.held:
            self.check(serial, value, "held at the end")
        for serial, memory in self.memories:
            self.check_memory(serial, memory, "held at the end")


class Killer:
    """Raises KeyboardInterrupt in the thread that works, wherever it is, once, until `disarm`."""

    def __init__(self, after: float) -> None:
        self._victim = threading.get_ident()
        self._lock = threading.Lock()
        self._armed = True
        self._timer = threading.Timer(after, self._kill)
        self._timer.start()

    def _kill(self) -> None:
        with self._lock:
            if self._armed:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._victim), ctypes.py_object(KeyboardInterrupt)
                )

    def disarm(self) -> None:
        with self._lock:
            self._armed = False
        self._timer.cancel()
        self._timer.join()


def patiently[T](action: Callable[[], T]) -> T:
    """Its result; as often as a limit of the moment refuses it, again."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return action()
        except (MemoryError, OSError) as failure:
            shortage = isinstance(failure, MemoryError) or failure.errno in (errno.EMFILE, errno.ENOMEM)
            if not shortage or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def ignore_shortage(unraisable: Any) -> None:
    """What CPython cannot raise while memory is short; anything else is reported as usual."""
    if not isinstance(unraisable.exc_value, MemoryError):
        sys.__unraisablehook__(unraisable)


def work(plan: Plan, ends: Ends) -> bool:
    """Until it is told to stop; what it holds then is left to the interpreter's end. Whether all fitted."""
    patiently(model.register_types)
    sys.unraisablehook = ignore_shortage
    sys.setswitchinterval(plan.switch_interval)
    gc.set_threshold(plan.gc_threshold)
    worker = patiently(lambda: Worker(plan, ends))
    KEPT.append(worker)
    mismatches: list[str] = []
    killed = True
    killer: Killer | None = None
    try:
        if plan.killed_after is not None:
            with contextlib.suppress(RuntimeError):  # a limit: there can be no thread now
                killer = Killer(plan.killed_after)
        worker.work()
        killed = False
    except (KeyboardInterrupt, MemoryError):
        pass
    except model.Mismatch as mismatch:
        mismatches.append(str(mismatch))
        killed = False
    return finish(worker, killer, mismatches, killed)


def finish(worker: Worker, killer: Killer | None, mismatches: list[str], killed: bool) -> bool:
    """Whether all fitted the model. An interrupt that was under way already begins it anew."""
    while True:
        try:
            if killer is not None:
                killer.disarm()
            settle(worker, mismatches, killed)
        except KeyboardInterrupt:
            killed = True
        else:
            return not mismatches


def settle(worker: Worker, mismatches: list[str], killed: bool) -> None:
    if not worker.ledger.complete:
        try:
            patiently(worker.check_all)
        except model.Mismatch as mismatch:
            mismatches.append(str(mismatch))
        patiently(lambda: worker.ledger.write(mismatches, killed))
    worker.ledger.close()
    worker.control.close()


last_posted = 0


def posted(seed: int, serial: int, value: Any) -> int:
    """A call that the director posted: checks its argument, and that it runs after those posted before."""
    global last_posted
    model.check(seed, serial, value, "an argument of a posted call")
    if serial <= last_posted:
        raise model.Mismatch(f"posted call {serial} runs after {last_posted}")
    last_posted = serial
    return serial

"""One round in a process of its own: `python soak_round.py SEED SECONDS INTERPRETERS WRONG FOLDER`.

Prints one JSON object: what was done and what did not fit the model. An exit status other than 0, or anything
on stderr, is a failure too.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import isthmus
import soak_audit
import soak_faults
import soak_payloads as model
import soak_worker
from soak_control import PLACES, DirectorsControl
from soak_ledger import REFUSALS, Ends, Plan
from soak_worker import Worker

LEAST = 100  # comparisons before a round may end, however slow the machine is
LEAST_WRONG = 400  # where something is broken on purpose, which must be met
SHORTAGES = ("MemoryError", "OSError", "ImportError", "ModuleNotFoundError")
MOST_LONGER = 60.0  # seconds it goes on for that
#: Lets the table of interned strings grow beyond what a worker needs while there is memory: without, CPython
#: 3.13 counts strings there that found no room, and crashes when the table does grow.
ROOM = "import sys; room = tuple(sys.intern(f'room {n}') for n in range(24_000))"


class Place:
    """Where one worker after the other works, each in an interpreter of its own."""

    def __init__(self, number: int, r: random.Random) -> None:
        self.number = number
        self.open_inbox(r)
        self.interpreter: isthmus.Interpreter | None = None
        self.thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        self.fits = True
        self.lane = 0

    def open_inbox(self, r: random.Random) -> None:
        self.recv, self.send = isthmus.create_channel(r.choice((0, 1, 2, 8, 64, None)))

    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def run(self, plan: Plan, queue: isthmus.Queue, cells: isthmus.SharedBuffer, peers: list[Any]) -> None:
        self.lane = plan.lane
        interpreter = self.interpreter = isthmus.create(name=f"place {self.number}")
        interpreter.exec(ROOM)
        ends = Ends(self.recv, self.recv.id, peers, queue, cells)

        def body() -> None:
            # The director shall have its turn beside 32 workers on 2 processors.
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + 3)
            try:
                self.fits = interpreter.call(soak_worker.work, plan, ends)
            except BaseException as failure:
                self.failure = failure

        self.thread = threading.Thread(target=body)
        self.thread.start()


class Director:
    def __init__(self, seed: int, seconds: float, count: int, wrong: str, folder: Path) -> None:
        self.seed, self.wrong, self.folder = seed, wrong, folder
        self.random = random.Random(f"{seed}:director")
        self.until = time.monotonic() + seconds
        self.count: Counter[str] = Counter()
        self.problems: list[str] = []
        self.fits = True  # false once some worker found a mismatch: the books say which
        self.lane = 0
        self.forgiven: set[int] = set()  # lanes of workers that ended before they could write anything down
        self.control = DirectorsControl(folder / "control")
        self.faults = soak_faults.Faults(seed, self.control.note_limits)
        self.queue = isthmus.create_queue(self.random.choice((0, 4, 32)))
        self.cells = isthmus.SharedBuffer(16)
        self.places = [Place(number, self.random) for number in range(count)]
        self.inboxes = [place.send for place in self.places]
        self.left_open: list[isthmus.Interpreter] = []
        self.own_inbox, own = isthmus.create_channel(8)
        self.inboxes.append(own)
        self.own = own
        self.main = Worker(self.plan(PLACES - 1, None), self.ends())
        self.main.table.remove(self.main.sleep_in_a_thread)  # closing ends such a wait: nobody closes main

    def plan(self, place: int, killed_after: float | None) -> Plan:
        self.lane += 1
        r = self.random
        return Plan(
            seed=self.seed,
            choices=r.randrange(1 << 30),
            lane=self.lane,
            place=place,
            until=self.until + MOST_LONGER,
            killed_after=killed_after,
            ledger=str(self.folder / f"{self.lane:05}.ledger"),
            control=str(self.folder / "control"),
            wrong=self.wrong,
            switch_interval=r.choice((1e-6, 1e-4, 0.005, 0.1)),
            gc_threshold=r.choice((10, 700, 10_000)),
        )

    def ends(self) -> Ends:
        return Ends(self.own_inbox, self.own_inbox.id, self.peers(), self.queue, self.cells)

    def peers(self) -> list[isthmus.SendChannel]:
        return [*(place.send for place in self.places), self.own]

    # -- interpreters ------------------------------------------------------------------------------------

    def start(self, place: Place) -> None:
        killed_after = self.random.uniform(0.2, 3) if self.random.random() < 0.3 else None
        place.run(self.plan(place.number, killed_after), self.queue, self.cells, self.peers())
        self.count["interpreters created"] += 1

    def tell(self, end: isthmus.SendChannel, message: tuple[Any, ...], timeout: float) -> bool:
        """False: no room, or the channel is gone."""
        ledger, channel = self.main.ledger, end.id
        try:
            with ledger.unsure(ledger.unsure_sent, channel):
                end.send(self.main.envelope(message), timeout=timeout)
                ledger.sent[channel] += 1
            return True
        except REFUSALS:
            return False

    def stop(self, place: Place) -> None:
        """Ends its worker, then in one of many ways its interpreter, with whatever it holds by then."""
        assert place.thread is not None
        way = self.random.choice(("told", "told", "poisoned", "interrupted"))
        if way == "poisoned":
            place.send.poison(EOFError("the director's"))
        elif way == "interrupted":
            assert place.interpreter is not None
            place.interpreter.interrupt()
            self.count["interrupts"] += 1
        while place.running():
            if not self.tell(place.send, ("stop",), 0.02):
                place.thread.join(0.01)
        self.joined(place)
        self.end(place)

    def joined(self, place: Place) -> None:
        assert place.thread is not None
        place.thread.join()
        self.fits &= place.fits
        failure, place.failure = place.failure, None
        if failure is None:
            return
        if ended_by(failure, "KeyboardInterrupt"):
            self.count["runs interrupted before or after the worker's work"] += 1
            self.forgiven.add(place.lane)
        elif self.control.limits_used and ended_by(failure, *SHORTAGES):
            self.count["runs that a limit ended"] += 1
            self.forgiven.add(place.lane)
        else:
            told = getattr(getattr(failure, "excinfo", None), "errdisplay", failure.__cause__)
            self.problems.append(f"a worker failed: {failure!r}\n{told}")

    def end(self, place: Place) -> None:
        interpreter, place.interpreter, place.thread = place.interpreter, None, None
        assert interpreter is not None
        way = self.random.choice(("close", "close", "forget", "later"))
        if way == "close":
            closed = interpreter.closed
            self.close(interpreter)
            if not closed.is_set():
                self.problems.append(f"{interpreter} is closed, its event is not set")
            self.count["interpreters closed while they held objects"] += 1
        elif way == "later":
            self.left_open.append(interpreter)
        else:
            self.count["interpreters forgotten"] += 1
        if self.left_open and self.random.random() < 0.4:
            self.close(self.left_open.pop(0))

    @staticmethod
    def close(interpreter: isthmus.Interpreter) -> None:
        """An interruption may have hit a worker that was just starting or joining a thread: until that has
        ended, nobody knows whether it is a daemon.
        """
        began = time.monotonic()
        while True:
            try:
                return interpreter.close()
            except isthmus.InterpreterError:
                if time.monotonic() > began + soak_audit.PATIENCE:
                    raise

    def replace(self, place: Place) -> None:
        self.stop(place)
        if self.random.random() < 0.6 or place.send.is_closed:
            # With what lies in it; the others are told of the new one, or send into nothing.
            place.recv.close()
            place.send.close()
            place.open_inbox(self.random)
            self.inboxes.append(place.send)
            for other in self.places:
                if other is not place:
                    self.tell(other.send, ("peer", place.number, place.send), 0)
        self.start(place)
        self.count["workers replaced"] += 1

    def visit(self) -> None:
        """An interpreter that lives for one call: its result outlives it."""
        serial = self.main.serial()
        value = model.make(self.seed, serial)
        interpreter = isthmus.create()
        self.count["interpreters created"] += 1
        back = interpreter.call(hand_back, self.seed, serial, value)
        self.main.check(serial, value, "sent to an interpreter that was called")
        if self.random.random() < 0.5:
            interpreter.close()
        del interpreter
        self.main.check(serial + 1, back, "held though its maker is gone")

    def post(self) -> None:
        """Calls aimed at a worker that is busy, asleep or gone, in order; some are cancelled."""
        place = self.random.choice(self.places)
        if place.interpreter is None:
            return
        calls: list[tuple[int, isthmus.PendingCall[int]]] = []
        for _ in range(self.random.randrange(1, 20)):
            serial = self.main.serial()
            value = model.make(self.seed, serial)
            calls.append((serial, place.interpreter.post(soak_worker.posted, self.seed, serial, value)))
        if self.random.random() < 0.2:
            self.count["posted calls cancelled"] += calls[-1][1].cancel()
        for serial, call in calls:
            if not call.wait(soak_audit.PATIENCE):
                self.problems.append(f"posted call {serial} is not run")
            elif not call.cancelled():
                failure = call.exception()
                if failure is not None or call.result() != serial:
                    self.problems.append(f"posted call {serial}: {failure!r}")
        self.count["calls posted"] += len(calls)

    # -- the round ---------------------------------------------------------------------------------------

    def stand_still(self) -> None:
        """All workers stop, and go on at once."""
        running = {place.number for place in self.places if place.running()}
        self.control.pause_all()
        if not soak_audit.until(lambda: self.standing(running), soak_audit.PATIENCE):
            self.problems.append(f"of the workers {running} only {self.control.parked()} come to stand")
        self.control.go_on()

    def standing(self, running: set[int]) -> bool:
        """All of `running`, but for those that have ended meanwhile."""
        late = running - self.control.parked()
        return not any(self.places[number].running() for number in late)

    def run(self) -> None:
        self.faults.starve(self.seed, 300)  # alone: what fails are the allocators of all interpreters
        for place in self.places:
            self.start(place)
        latest = self.until + MOST_LONGER
        least = LEAST_WRONG if self.wrong else LEAST
        while self.fits and not self.problems:
            if time.monotonic() > (latest if self.control.compared() < least else self.until):
                break
            self.step()
        for number, place in enumerate(self.random.sample(self.places, len(self.places))):
            if number == len(self.places) // 4:
                self.control.end_all()  # one by one would take longer than the round itself
            self.stop(place)
        for interpreter in self.left_open:
            self.close(interpreter)
        self.left_open.clear()

    def step(self) -> None:
        self.main.ends.peers[:] = self.peers()
        self.main.plan = self.plan_until(self.random.random() / 20)
        self.main.work()
        draw = self.random.random()
        if draw < 0.15:
            self.replace(self.random.choice(self.places))
        elif draw < 0.25:
            self.visit()
        elif draw < 0.55:
            for _ in range(self.random.randrange(1, 4)):
                self.faults.some()
        elif draw < 0.67:
            self.stand_still()
        elif draw < 0.87:
            self.post()
        for place in self.places:
            if not place.running():  # killed, or its inbox was poisoned
                self.joined(place)
                self.end(place)
                self.start(place)

    def plan_until(self, seconds: float) -> Plan:
        return dataclasses.replace(self.main.plan, until=time.monotonic() + seconds)

    def finish(self) -> dict[str, Any]:
        """What was done and what does not fit."""
        mismatches: list[str] = []
        try:
            self.main.check_all()
        except model.Mismatch as mismatch:
            mismatches.append(str(mismatch))
        self.main.ledger.write(mismatches, False)
        self.main.ledger.close()
        left = self.drain_queue()
        books = soak_audit.Books(self.folder, self.forgiven)
        found = self.problems + books.mismatches
        for end in self.inboxes:
            found += books.channel_differences(end)
        found += books.queue_differences(left)
        found += books.cell_differences(self.main.cells.load(0))
        self.faults.close()
        self.control.close()
        self.main.control.close()
        for sender in self.inboxes:
            sender.close()
        for receiver in (self.own_inbox, *(place.recv for place in self.places)):
            receiver.close()
        return {
            "deeds": books.deeds,
            "faults": self.faults.count,
            "director": self.count + Counter({"workers killed": books.killed}),
            "problems": found,
        }

    def drain_queue(self) -> int:
        left = 0
        while True:
            try:
                self.queue.get_nowait()
            except isthmus.QueueEmpty:
                return left
            except isthmus.ItemInterpreterDestroyed:
                pass
            left += 1


def ended_by(failure: BaseException, *names: str) -> bool:
    """Whether a worker's run ended by an exception of one of these classes."""
    kind: Any = failure.excinfo.type if isinstance(failure, isthmus.ExecutionFailed) else type(failure)
    return kind.__name__ in names


def hand_back(seed: int, serial: int, value: Any) -> Any:
    """In the interpreter that is visited: check, and give something of its own."""
    model.register_types()
    model.check(seed, serial, value, "an argument")
    return model.make(seed, serial + 1)


def work(seed: int, seconds: float, count: int, wrong: str, folder: Path) -> dict[str, Any]:
    director = Director(seed, seconds, count, wrong, folder)
    director.run()
    return director.finish()


def warm_up() -> None:
    """What the first use makes once and for all: threads, descriptors, modules."""
    model.register_types()
    with isthmus.create() as other:
        for serial in range(len(model.DRAWN)):
            model.check(1, serial, model.make(1, serial), "made twice")
            other.call(hand_back, 1, serial, model.make(1, serial))


def main(seed: int, seconds: float, count: int, wrong: str) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds * 3 + 90)
    warm_up()
    baseline = soak_audit.Baseline()
    with tempfile.TemporaryDirectory() as folder:
        report = work(seed, seconds, count, wrong, Path(folder))
    kept = isthmus.create_channel() if wrong == "leak" else None
    soak_worker.KEPT.clear()
    gc.collect()
    created = report["director"]["interpreters created"]
    # What is left on purpose will not go.
    report["problems"] += baseline.differences(created, 1 if wrong == "leak" else soak_audit.PATIENCE)
    if wrong == "stderr":
        print("not expected", file=sys.stderr)
    del kept
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

"""What workers do with one another: payloads, views, channels over channels; the check of what arrives.

Messages are tuples: ("payload", serial, hops, home, value), ("memory", serial, what), ("side", count, end),
("peer", place, end), ("stop",); each inside (lane, number, message), where the numbers of a lane only grow.
"""

from __future__ import annotations

import contextlib
import mmap
import random
from collections.abc import Callable
from typing import Any

import isthmus
import soak_payloads as model
from soak_control import Control
from soak_ledger import REFUSALS, Ends, Ledger, Plan


class Passing:
    """Makes, sends, receives and compares payloads."""

    def __init__(self, plan: Plan, ends: Ends) -> None:
        self.plan = plan
        self.ends = ends
        self.random = random.Random(plan.choices)
        self.number = 0  # of messages sent: grows along this lane
        self.next_serial = plan.lane * 100_000
        self.last_seen: dict[tuple[int, int], int] = {}
        self.held: list[tuple[int, int, int, Any]] = []  # serial, hops, home, value
        self.memories: list[tuple[int, memoryview]] = []
        self.originals: dict[int, Any] = {}
        self.cells = ends.cells.atomic("q")
        self.control = Control(plan.control, plan.place)
        self.ledger = Ledger(plan.ledger)  # last: what is refused here is tried again
        self.deeds = self.ledger.deeds
        self.alive = True

    # -- the model ---------------------------------------------------------------------------------------

    def check(self, serial: int, value: Any, when: str) -> None:
        if self.plan.wrong == "model" and serial % 7 == 3:
            serial += len(model.DRAWN)  # another payload of the same kind
        self.compared()
        model.check(self.plan.seed, serial, value, when)

    def compared(self) -> None:
        self.deeds["compared"] += 1
        self.control.note_compared(self.deeds["compared"])

    def check_memory(self, serial: int, memory: memoryview, when: str) -> None:
        self.compared()
        model.check_memory(self.plan.seed, serial, memory, when)

    def serial(self) -> int:
        self.next_serial += 1
        return self.next_serial

    def envelope(self, message: tuple[Any, ...]) -> tuple[Any, ...]:
        self.number += 1
        return (self.plan.lane, self.number, message)

    def arrived(self, channel: int, envelope: tuple[Any, ...]) -> None:
        lane, number, message = envelope
        if channel != 0:  # a queue's items lead by several ways to several getters
            if number <= self.last_seen.get((channel, lane), 0):
                raise model.Mismatch(f"message {number} of lane {lane} came twice, or after a later one")
            self.last_seen[channel, lane] = number
        self.open(message)

    def open(self, message: tuple[Any, ...]) -> None:
        what, *rest = message
        if what == "payload":
            serial, hops, home, value = rest
            self.check(serial, value, "received")
            if home == self.plan.lane and serial in self.originals:
                self.come_home(serial, value)
            self.held.append((serial, hops + 1, home, value))
            self.deeds["hops"] += hops > 0
        elif what == "memory":
            serial, memory = rest
            if isinstance(memory, isthmus.SharedBuffer):
                memory = memoryview(memory)
                self.deeds["SharedBuffers received"] += 1
            self.check_memory(serial, memory, "received")
            self.memories.append((serial, memory))
        elif what == "side":
            self.receive_side(*rest)
        elif what == "peer":
            place, end = rest
            self.ends.peers[place] = end
        elif what == "stop":
            self.alive = False

    def come_home(self, serial: int, value: Any) -> None:
        """A twin that comes home is the original, unless a limit made a copy of it somewhere."""
        original = self.originals.pop(serial)
        self.deeds["came home"] += 1
        if value is original:
            self.deeds["came home as the original"] += 1
        elif isthmus.stats().fallback_copies == 0:
            raise model.Mismatch(f"payload {serial} came home as another object")

    # -- deeds -------------------------------------------------------------------------------------------

    def make(self) -> None:
        if len(self.held) < 10:
            serial = self.serial()
            value = model.make(self.plan.seed, serial)
            self.held.append((serial, 0, self.plan.lane, value))
            if isthmus.describe(value)["slot"] is not None and len(self.originals) < 4:
                self.originals[serial] = value

    def peer(self) -> tuple[int, isthmus.SendChannel]:
        end = self.random.choice(self.ends.peers)
        return end.id, end

    def timeout(self) -> float:
        return self.random.choice((0, 0.0005, 0.005, 0.02))

    def message(self) -> tuple[Any, ...]:
        if not self.held:
            self.make()
        serial, hops, home, value = self.random.choice(self.held)
        return ("payload", serial, hops, home, value)

    def send(self) -> None:
        channel, end = self.peer()
        envelope = self.envelope(self.message())
        with self.ledger.unsure(self.ledger.unsure_sent, channel):
            if self.random.random() < 0.5:
                sent = end.send_nowait(envelope)
            else:
                end.send(envelope, timeout=self.timeout())
                sent = True
            self.ledger.sent[channel] += sent

    def send_many(self) -> None:
        channel, end = self.peer()
        batch = [self.envelope(self.message()) for _ in range(self.random.randrange(1, 5))]
        from_code = self.random.random() < 0.3
        try:
            with self.ledger.unsure(self.ledger.unsure_sent, channel, len(batch)):
                sent = end.send_many((each for each in batch) if from_code else batch, self.timeout())
                self.ledger.sent[channel] += sent
        except (*REFUSALS, isthmus.InterpreterError) as failure:
            self.ledger.sent[channel] += getattr(failure, "sent", 0)
            raise

    def receive(self) -> None:
        self.take(lambda: self.ends.inbox.recv_nowait())

    def wait(self) -> None:
        self.take(lambda: self.ends.inbox.recv(timeout=self.timeout()))

    def take(self, action: Callable[[], Any]) -> None:
        with self.ledger.unsure(self.ledger.unsure_received, self.ends.inbox_id):
            got = action()
            lost = self.plan.wrong == "loss" and self.random.random() < 0.3
            self.ledger.received[self.ends.inbox_id] += got is not None and not lost
        if got is not None:
            self.arrived(self.ends.inbox_id, got)

    def receive_many(self) -> None:
        most = self.random.randrange(1, 6)
        with self.ledger.unsure(self.ledger.unsure_received, self.ends.inbox_id, most):
            got = self.ends.inbox.recv_many(most, timeout=self.timeout())
            self.ledger.received[self.ends.inbox_id] += len(got)
        for each in got:
            self.arrived(self.ends.inbox_id, each)

    def select(self) -> None:
        """Receive, get or send, whatever is possible first."""
        channel, end = self.peer()
        ledger, inbox = self.ledger, self.ends.inbox
        if channel == self.ends.inbox_id:
            return
        offer = (end, self.envelope(self.message()))
        gets_before = ledger.gets
        with (
            ledger.unsure_get(),
            ledger.unsure(ledger.unsure_sent, channel),
        ):
            try:
                chosen, value = isthmus.select(inbox, self.ends.queue, offer, timeout=self.timeout())
            except BaseException as failure:
                if not isinstance(failure, (*REFUSALS, isthmus.InterpreterError)):
                    ledger.unsure_received[self.ends.inbox_id] += 1
                raise
            if chosen is offer:
                ledger.sent[channel] += 1
            elif chosen == inbox:
                ledger.received[self.ends.inbox_id] += 1
            else:
                ledger.gets += 1
        if chosen is not offer:
            self.taken(value, 0 if ledger.gets > gets_before else self.ends.inbox_id)

    def taken(self, value: Any, channel: int) -> None:
        if value is isthmus.UNBOUND:
            self.deeds["items of gone interpreters"] += 1
        else:
            self.arrived(channel, value)

    def put(self) -> None:
        kept = self.random.choice((isthmus.UNBOUND, isthmus.UNBOUND_ERROR))
        envelope = self.envelope(self.message())
        self.ledger.unsure_puts += 1
        try:
            self.ends.queue.put(envelope, timeout=self.timeout(), unbounditems=kept)
            self.ledger.puts += 1
        except (KeyboardInterrupt, MemoryError):
            self.ledger.unsure_puts += 1
            raise
        finally:
            self.ledger.unsure_puts -= 1

    def get(self) -> None:
        with self.ledger.unsure_get():
            got = self.ends.queue.get(timeout=self.timeout())
            self.ledger.gets += 1
            self.taken(got, 0)

    def send_memory(self) -> None:
        """A buffer, sent as a view; a memoryview, sent like any object; a SharedBuffer."""
        channel, end = self.peer()
        serial = self.serial()
        data = model.pattern(self.plan.seed, serial, self.random.choice((10, 5000, 70_000, 1_000_000)))
        way = self.random.choice(("bytes", "bytearray", "mmap", "shared", "again"))
        if self.plan.wrong == "flip":
            way = "shared"
        memory: Any = data
        if way == "again" and self.memories:
            serial, memory = self.random.choice(self.memories)
        elif way == "bytearray":
            memory = memoryview(bytearray(data))
        elif way == "mmap":
            memory = mmap.mmap(-1, len(data))
            memory[:] = data
            memory = memoryview(memory)
        elif way == "shared":
            memory = isthmus.SharedBuffer(len(data))
            if any(memoryview(memory)):
                raise model.Mismatch("a new SharedBuffer is not zero")
            memoryview(memory)[:] = data
            if self.plan.wrong == "flip":
                memoryview(memory)[len(data) // 2] ^= 1
        else:
            memory = memoryview(data)
        with self.ledger.unsure(self.ledger.unsure_sent, channel):
            end.send(self.envelope(("memory", serial, memory)), timeout=self.timeout())
            self.ledger.sent[channel] += 1
        self.deeds["views sent" if way != "shared" else "SharedBuffers sent"] += 1

    def send_side(self) -> None:
        """A channel of its own, sent over a channel; it ends by poison, by close, or by being forgotten."""
        channel, end = self.peer()
        r, s = isthmus.create_channel(self.random.choice((1, 4, None)))
        count = self.random.randrange(5)
        serials = []
        for _ in range(count):
            serial = self.serial()
            if s.send_nowait(("payload", serial, 0, self.plan.lane, model.make(self.plan.seed, serial))):
                serials.append(serial)
        if self.random.random() < 0.3:
            s.send_buffer(model.pattern(self.plan.seed, 1, 70_000), timeout=0)
        ending = self.random.choice(("poison", "close", "forget"))
        with self.ledger.unsure(self.ledger.unsure_sent, channel):
            end.send(self.envelope(("side", len(serials), r)), timeout=self.timeout())
            self.ledger.sent[channel] += 1
        if ending == "poison":
            with contextlib.suppress(EOFError, ValueError):
                s.poison(LookupError("poisoned"))
        elif ending == "close":
            s.close()
        self.deeds[f"channels left to {ending}"] += 1

    def receive_side(self, count: int, end: isthmus.RecvChannel) -> None:
        got = 0
        try:
            with end:
                while True:
                    value = end.recv(timeout=0)
                    if isinstance(value, memoryview):
                        self.check_memory(1, value, "received over a channel that was sent")
                        continue
                    got += 1
                    self.open(value)
        except (*REFUSALS, LookupError):
            pass
        if got > count:
            raise model.Mismatch(f"{got} payloads over a channel that {count} were sent into")

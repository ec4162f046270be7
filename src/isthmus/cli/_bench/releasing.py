"""Rows about what comes home: buffers whose last view another interpreter has dropped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from time import perf_counter_ns

import isthmus
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import AtMost, Row

__all__ = ["GROUPS"]

LIMIT = 60.0  #: seconds after which releases count as lost

BUSY = "busy in bytecode"
#: Why the standard library's views are not measured. As seen with 3.14.8 and 3.15.0.
LOSES = "all of them stay exported for ever, because the owner evaluates nothing when they are dropped"
BUSY_PEER = "releases them, too, but nobody can see when"

#: What the owner does meanwhile: it says that it begins, and ends when it is told.
OWNERS = {
    "idle": "",
    BUSY: "begun.send(None)\nwhile over.recv_nowait() is None: sum(range(1000))",
    "waiting in recv": "begun.send(None)\nover.recv()",
    "blocked in C": "import select\nbegun.send(None)\nselect.select([over], [], [])\nover.recv()",
}


class _Scene:
    """An owner of buffers, and a receiver of views of them."""

    def __init__(self, stack: ExitStack) -> None:
        self.owner = stack.enter_context(isthmus.create(name="bench owner"))
        self.receiver = stack.enter_context(isthmus.create(name="bench receiver"))
        self.views = isthmus.create_channel(None)
        self.begun = isthmus.create_channel(None)
        self.over = isthmus.create_channel(None)

    def drop(self, doing: str, count: int) -> list[float]:
        """Nanoseconds from dropping `count` views until the owner has all its buffers back."""
        self.owner.run(
            "held = [bytearray(10) for _ in range(count)]\nfor each in held: send.send_buffer(each)",
            count=count,
            send=self.views[1],
        )
        self.receiver.run("views = recv.recv_many(count)", count=count, recv=self.views[0])
        running = None
        if doing:
            running = self.owner.run_in_thread(doing, begun=self.begun[1], over=self.over[0])
            self.begun[0].recv(timeout=LIMIT)
        start = perf_counter_ns()
        self.receiver.run("del views")
        while isthmus.stats().views_live > 0 and perf_counter_ns() - start < LIMIT * 1e9:
            time.sleep(0.0002)  # leaves the processors to those who release
        taken = perf_counter_ns() - start
        if running is not None:
            self.over[1].send(True)
            running.join()
        self.owner.run("for each in held: each.append(1)")  # BufferError if one is still exported
        return [float(taken)]


def releases(settings: Settings) -> list[Row]:
    """1,000 views dropped by a receiver, until all are released in their owner, whatever it does."""
    count = 20 if settings.quick else 1000
    with ExitStack() as stack:
        scene = _Scene(stack)
        ways = {
            name: Contender("isthmus", partial(scene.drop, doing), count) for name, doing in OWNERS.items()
        }
        for doing in OWNERS.values():
            scene.drop(doing, 1)
        measure([*ways.values()], settings)
    return [
        Row.of(
            f"releases, owner {name}",
            f"{count} views of as many buffers dropped by a receiver at once, until the owner has them back",
            "ms",
            [way],
            goals=[AtMost(100)],
            scale=1e6,
            skipped={"concurrent.interpreters": BUSY_PEER if name == BUSY else LOSES},
        )
        for name, way in ways.items()
    ]


GROUPS: dict[str, Callable[[Settings], list[Row]]] = {"releases": releases}

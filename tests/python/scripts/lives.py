"""Lifetimes: objects of every kind, held in every way, while everything around them ends in every order.

`lives.py orders PART PARTS`: every PARTS-th order, with all kinds held in all ways at once.
`lives.py single KIND`: the orders of closing, with each way of holding that kind by itself.
`lives.py leave PART PARTS`: scenes in which some of it has ended and the rest has not; then the process ends.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import itertools
import sys
import threading
from collections.abc import Iterable
from typing import Any

from common import PATIENCE, command, counters_balance, eventually

import isthmus

#: What each interpreter can do; the main one executes it too. `keep` holds an object in one way, `check`
#: reads all that can still be reached, `drop` lets everything go that can be.
LIFE = """
import atexit, builtins, gc, io, sys, threading, zlib
import isthmus

def digest(x):
    if isinstance(x, list):
        return [digest(x[0]), digest(x[1]["t"]), bytes(x[2]), x[3] is x]
    if isinstance(x, str):
        x = x.encode()
    return zlib.crc32(x)

wanted, held, names = {}, {}, []
local = threading.local()
stop = isthmus.create_channel()
threads = []

class Node:
    def __init__(self, kind, x):
        self.kind, self.x, self.me = kind, x, self
    def __del__(self, digest=digest, wanted=wanted):
        assert digest(self.x) == wanted[self.kind]

class Holder:
    pass

def same(kind, x):
    assert digest(x) == wanted[kind], kind

def hold(kind, x, in_local):
    if in_local:
        local.x = x
        del x
    try: stop[0].recv()
    except (isthmus.InterpreterError, EOFError, ValueError): pass
    same(kind, local.x if in_local else x)

def keep(how, kind, x):
    name = f"kept_{how}_{kind}_{len(names)}"
    names.append((how, kind, name))
    if how == "cycle": Node(kind, x)
    elif how == "stream": held[name] = io.BytesIO(x)
    elif how == "changed stream":
        held[name] = io.BytesIO(x); held[name].seek(0, 2); held[name].write(b"!")
    elif how == "interned": held[sys.intern(x)] = x
    elif how == "key": held[x] = name
    elif how == "class": setattr(Holder, name, x); held[name] = type(name, (Holder,), {"x": x})
    elif how == "builtins": setattr(builtins, name, x); setattr(sys, name, x)
    elif how.startswith("thread"):
        threads.append(threading.Thread(target=hold, args=(kind, x, how == "thread local")))
        threads[-1].start()
    elif how == "exit handler": atexit.register(same, kind, x)
    elif how == "view": held[name] = memoryview(x)[:]
    elif how == "leaked":
        import ctypes
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(x))
    else: held[name] = x

def check():
    for how, kind, name in names:
        if how == "stream": same(kind, held[name].getbuffer())
        elif how == "changed stream": same(kind, held[name].getvalue()[:-1])
        elif how == "class": same(kind, getattr(Holder, name)); same(kind, held[name].x)
        elif how == "builtins": same(kind, getattr(builtins, name)); same(kind, getattr(sys, name))
        elif name in held: same(kind, held[name])

def drop():
    held.clear(); atexit.unregister(same)
    for how, kind, name in names:
        if how == "class": delattr(Holder, name)
        elif how == "builtins": delattr(builtins, name); delattr(sys, name)
    names.clear()
    for end in stop: end.close()
    for each in threads: each.join()
    threads.clear(); gc.collect()
"""

#: What the sender makes, large enough to be shared.
KINDS = {
    "bytes": "bytes(range(256)) * 500",
    "str": "'\\u20ac' * 50_000 + 'end'",
    "view": "memoryview(bytearray(bytes(range(256)) * 500))[7:]",
    "buffer": "filled(isthmus.SharedBuffer(100_000))",
    "clone": "circle([b'b' * 100_000, {'t': 't' * 100_000}, bytearray(b'small')])",
}
MAKERS = """
def filled(buffer):
    memoryview(buffer)[:5] = b"hello"
    return buffer
def circle(made):
    made.append(made)
    return made
"""
ANYHOW = ("global", "cycle", "class", "builtins", "thread local", "thread", "exit handler", "leaked")
HOLDABLE = {
    "bytes": (*ANYHOW, "stream", "changed stream", "key", "view"),
    "str": (*ANYHOW, "interned", "key"),
    "view": (*ANYHOW, "view"),
    "buffer": (*ANYHOW, "view"),
    "clone": ANYHOW,
}
EVERYTHING = [(kind, how) for kind in KINDS for how in HOLDABLE[kind]]

#: What can happen to a scene. "take": main receives what was in flight; "let go": main drops what it holds.
EVENTS = ("sender", "receiver", "channel", "drop", "take", "let go")
GILS = (("own", "own"), ("own", "shared"), ("shared", "own"))

life: dict[str, Any] = {"__name__": "life"}
exec(LIFE, life)
exec(MAKERS, life)
life["wanted"].update({kind: life["digest"](eval(source, life)) for kind, source in KINDS.items()})
WANTED: dict[str, Any] = life["wanted"]
kept: list[Any] = []


def orders() -> list[tuple[str, ...]]:
    """What is gone can't be told to drop anything, so that comes before."""
    return [
        order for order in itertools.permutations(EVENTS) if order.index("drop") < order.index("receiver")
    ]


def gauges() -> tuple[int, ...]:
    now = isthmus.stats()
    buffers = now.shared_buffers_live, now.shared_buffer_bytes
    return now.twins_live, now.shares_outstanding, now.slots_live, now.views_live, *buffers


class Scene:
    """An owner, a receiver that holds twins in every way, messages in flight, and what main holds of it."""

    def __init__(self, what: Iterable[tuple[str, str]], gils: tuple[str, str]) -> None:
        self.sender, self.receiver = (isthmus.create(gil=gil) for gil in gils)
        kinds = {kind: KINDS[kind] for kind, _ in what}
        # A leaked twin in the window that main shares is main's, as far as anybody can tell.
        what = [(kind, how) for kind, how in what if how != "leaked" or gils == ("own", "own")]
        self.recv, self.send = isthmus.create_channel(None)
        here_r, here_s = isthmus.create_channel(None)
        for each in (self.sender, self.receiver):
            each.run(LIFE, life_wanted=tuple(WANTED.items()))
            each.run("wanted.update(life_wanted)")
        self.sender.run(MAKERS)
        self.sender.run(
            "for kind, how in what:\n    x = eval(kinds[kind]); keep(how, kind, x); s.send(x)\n"
            "for to in (h, s, s):\n    for kind in kinds: x = eval(kinds[kind]); to.send(x)\ndel x",
            what=what,
            kinds=kinds,
            s=self.send,
            h=here_s,
        )
        self.receiver.run("for kind, how in what: keep(how, kind, r.recv())", what=what, r=self.recv)
        self.mine = [(kind, here_r.recv()) for kind in kinds]
        self.flying = list(kinds)
        self.done: set[str] = set()

    def happen(self, event: str) -> None:
        self.done.add(event)
        if event == "channel":
            self.recv.close()
            self.send.close()
        elif event == "drop":
            self.receiver.run("drop()")
        elif event == "take":
            self._take()
        elif event == "let go":
            self.mine.clear()
            gc.collect()
        else:
            getattr(self, event).close()

    def _take(self) -> None:
        """One of each kind; the rest stays in flight."""
        if "channel" in self.done:
            try:
                self.recv.recv(timeout=0)
            except (ValueError, EOFError):
                return
            raise AssertionError("received from a closed channel")
        self.mine += [(kind, self.recv.recv(timeout=PATIENCE)) for kind in self.flying]

    def check(self) -> None:
        for kind, value in self.mine:
            assert life["digest"](value) == WANTED[kind], kind
        for name in {"sender", "receiver"} - self.done:
            getattr(self, name).run("check()")


def _play(what: list[tuple[str, str]], order: tuple[str, ...], gils: tuple[str, str]) -> None:
    before, orphans = gauges(), isthmus.stats().views_orphaned
    scene = Scene(what, gils)
    scene.check()
    for event in order:
        scene.happen(event)
        scene.check()
    scene.mine.clear()
    gc.collect()  # circles among what was taken
    if gils[0] == "shared" and sys.version_info >= (3, 15):
        # An orphan's exporter is left as it is. Here that is a bytearray, whose memory is a bytes object from
        # 3.15 on, and lives in main's window, which does not end with the sender.
        left = isthmus.stats().views_orphaned - orphans
        before = (*before[:2], before[2] + left, *before[3:])
    eventually(
        lambda: gauges() == before and counters_balance(), f"back to {before} after {order} {gils} {what}"
    )


def play_orders(part: str, parts: str) -> None:
    chosen = list(enumerate(orders()))[int(part) :: int(parts)]
    for number, order in chosen:
        _play(EVERYTHING, order, GILS[number % len(GILS)])
    print(len(chosen), "orders,", len(EVERYTHING), "objects held, and", 3 * len(KINDS), "more, in each")


def play_single(kind: str) -> None:
    closings = list(itertools.permutations(("sender", "receiver", "channel", "take")))
    for number, (how, order) in enumerate(itertools.product(HOLDABLE[kind], closings)):
        _play([(kind, how)], order, GILS[number % len(GILS)])
    print(len(HOLDABLE[kind]) * len(closings), "scenes")


def leave(part: str, parts: str) -> None:
    """One scene for each set of events that may have happened when the process ends."""
    sets = [
        events
        for size in range(len(EVENTS))
        for events in itertools.combinations(("drop", *(e for e in EVENTS if e != "drop")), size)
    ]
    chosen = sets[int(part) :: int(parts)]
    for number, events in enumerate(chosen):
        scene = Scene(EVERYTHING, GILS[number % len(GILS)])
        for event in events:
            scene.happen(event)
        scene.check()
        _keep_in_main(number, scene)
    print(len(chosen), "scenes")


def _keep_in_main(number: int, scene: Scene) -> None:
    keep = life["keep"]
    for kind, value in scene.mine:
        for how in HOLDABLE[kind]:
            if not how.startswith("thread"):  # the process would wait for it
                keep(how, kind, value)
    kept.append(scene)
    if number % 2:
        cycle = [scene, scene.mine]
        cycle.append(cycle)  # type: ignore[arg-type]
        kept[-1] = None
        atexit.register(scene.check)
        setattr(builtins, f"kept_{number}", cycle)
        setattr(sys, f"kept_{number}", scene.mine)
        threading.current_thread().kept = scene.mine  # type: ignore[attr-defined]


command({"orders": play_orders, "single": play_single, "leave": leave})

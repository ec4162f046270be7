"""Closing interpreters in every order, with whatever can keep a twin, a message or a thread alive."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from common import MIB, PATIENCE, command, eventually, joined, nothing_is_held, payload, run_in_thread

import isthmus

#: How the receiver keeps its twins `x` (bytes) and `t` (str) when it is closed.
KEPT = {
    "global": "kept = [x, t]",
    "bytesio": "b = io.BytesIO(x); c = io.BytesIO(x); c.write(b'!'); v = b.getbuffer(); del x",
    "cycle": (
        "class Node:\n"
        "    def __del__(self): assert len(self.x) == size and self.t[:1] == 't'\n"
        "n = Node(); n.me = n; n.x = x; n.t = t; del n, x, t"
    ),
    "interned": "k = sys.intern(t); d = {k: x}",
    "class_attribute": "class Holder: x = x; t = t\nsetattr(Holder, t, x)",
    "builtins": "import builtins; builtins.x = x; builtins.t = t; sys.kept = x; sys.modules['kept'] = t",
    "thread_local": "l = threading.local(); l.x = x; l.t = t; del x, t",
    "context": "import contextvars; c = contextvars.ContextVar('c'); c.set((x, t))",
    "exit_handler": "import atexit; atexit.register(lambda x=x, t=t: hash(x) and hash(t))",
    "leaked": "import ctypes; ctypes.pythonapi.Py_IncRef(ctypes.py_object(x))",
    "leaked_stream": "import ctypes; b = io.BytesIO(x); ctypes.pythonapi.Py_IncRef(ctypes.py_object(b))",
}


class Scene:
    """A sender, a receiver that holds twins, a channel between them, and what main got from the sender."""

    def __init__(self, kept: str) -> None:
        self.sender = isthmus.create()
        self.receiver = isthmus.create()
        self.recv, self.send = isthmus.create_channel(None)
        here_r, here_s = isthmus.create_channel(None)
        self.sender.run(
            "data = bytes(range(256)) * 4096; text = 't' * 300_000\n"
            "for _ in range(2): s.send(data); s.send(text)\n"
            "h.send(data); h.send(text)",
            s=self.send,
            h=here_s,
        )
        self.receiver.run("import io, sys, threading\nx = r.recv(); t = r.recv(); size = len(x)", r=self.recv)
        self.receiver.run(kept)
        self.mine = (here_r.recv(), here_r.recv())

    def close(self, what: str) -> None:
        if what == "channel":
            self.recv.close()
            self.send.close()
        else:
            getattr(self, what).close()

    def check(self) -> None:
        assert self.mine[0] == bytes(range(256)) * 4096
        assert self.mine[1] == "t" * 300_000


def _every_order(kept: str, before: Callable[[Scene], Callable[[], None]] | None = None) -> None:
    for order in itertools.permutations(("sender", "receiver", "channel")):
        print(order)
        scene = Scene(kept)
        after = before(scene) if before is not None else None
        for what in order:
            scene.close(what)
            scene.check()
        if after is not None:
            after()
        del scene, after
        eventually(nothing_is_held, f"everything given back after {order}")


def keeping(how: str) -> None:
    _every_order(KEPT[how])


def undelivered() -> None:
    """Messages on their way in both directions, with channel ends and interpreters among them."""

    def before(scene: Scene) -> Callable[[], None]:
        back_r, back_s = isthmus.create_channel(None)
        scene.sender.run("for n in range(20): s.send((n, data, text, s))")
        scene.receiver.run("for n in range(20): b.send((x, r)); b.send(x + b'.')", b=back_s)
        back_s.send((scene.mine[0], isthmus.get_main()))

        def after() -> None:
            first, _ = back_r.recv()
            assert first == scene.mine[0]
            del first

        return after

    _every_order(KEPT["global"], before)


def waiting_peers() -> None:
    """Others that wait for the sender to send or the receiver to receive wake with EOFError."""
    peer = isthmus.create()
    second = isthmus.create()

    def before(scene: Scene) -> Callable[[], None]:
        from_r, from_s = isthmus.create_channel(None)
        to_r, to_s = isthmus.create_channel(1)
        scene.sender.run("p.send(data)", p=from_s)
        ended = "else: raise AssertionError('no EOFError')"
        waits = run_in_thread(
            peer, f"p.recv()\ntry: p.recv()\nexcept EOFError: pass\n{ended}\ndel p", {"p": from_r}
        )
        sends = run_in_thread(
            second,
            f"try:\n  for _ in range(3): q.send(b'q' * 200_000)\nexcept EOFError: pass\n{ended}\ndel q",
            {"q": to_s},
        )
        scene.receiver.run(f"q.recv(timeout={PATIENCE})", q=to_r)
        del from_r, from_s, to_r, to_s

        def after() -> None:
            joined(waits)
            joined(sends)

        return after

    _every_order(KEPT["global"], before)
    peer.close()
    second.close()


def own_waiting_threads() -> None:
    """Threads of the closed interpreter that wait in isthmus are woken with InterpreterError and joined."""

    def before(scene: Scene) -> Callable[[], None]:
        never_r, never_s = isthmus.create_channel()
        ready_r, ready_s = isthmus.create_channel(None)
        told_r, told_w = os.pipe()
        scene.receiver.run(
            "import isthmus, os\n"
            "def wait(operation, *arguments):\n"
            "    ready.send(1)\n"
            "    try: operation(*arguments)\n"
            "    except isthmus.InterpreterError: os.write(told, b'I')\n"
            "    except BaseException as e: os.write(told, b'!')\n"
            "for _ in range(3): threading.Thread(target=wait, args=(never_r.recv,)).start()\n"
            "threading.Thread(target=wait, args=(full.send, x)).start()\n",
            never_r=never_r,
            full=isthmus.create_channel(0)[1],
            ready=ready_s,
            told=told_w,
        )
        for _ in range(4):
            ready_r.recv(timeout=PATIENCE)

        def after() -> None:
            assert os.read(told_r, 100) == b"IIII"
            os.close(told_r)
            os.close(told_w)
            never_r.close()
            never_s.close()

        return after

    _every_order(KEPT["global"], before)


def closed_from_elsewhere() -> None:
    """Closed by another interpreter, by two at once, by losing the last reference, by the stdlib."""
    import _interpreters

    for how in range(4):
        scene = Scene(KEPT["global"])
        closer = isthmus.create()
        if how == 0:
            closer.run("i.close(); j.close(); del i, j", i=scene.sender, j=scene.receiver)
        elif how == 1:
            targets = {"i": scene.sender, "j": scene.receiver}
            threads = [
                run_in_thread(each, "for x in (i, j): x.close()\ndel i, j, x", targets)
                for each in (closer, isthmus.create())
            ]
            for thread in threads:
                joined(thread)
            targets.clear()
        elif how == 2:
            del scene.sender, scene.receiver
        else:
            _interpreters.destroy(scene.receiver.id)
            _interpreters.destroy(scene.sender.id)
        scene.check()
        closer.close()
        del scene, closer
        eventually(nothing_is_held, f"everything given back ({how})")


def reused_window() -> None:
    """The next interpreter gets the window of the one before, whose orphans still exist elsewhere."""
    kept: list[Any] = []
    for turn in range(12):
        with isthmus.create() as other:
            r, s = isthmus.create_channel(None)
            back_r, back_s = isthmus.create_channel(None)
            for value in kept:
                s.send(value)
            other.run(
                "got = [r.recv() for _ in range(n)]\n"
                "assert [x[-1] for x in got] == list(range(n))\n"
                "s.send(bytes(range(256)) * 400 + bytes([n]))\n"
                "for x in got: s.send(x)",
                r=r,
                s=back_s,
                n=len(kept),
            )
            kept.append(back_r.recv())
            for n in range(turn):
                assert back_r.recv() is kept[n]
    for n, value in enumerate(kept):
        assert value == bytes(range(256)) * 400 + bytes([n])
    del value
    kept.clear()
    eventually(nothing_is_held, "everything given back")


def main_object_outlives_nothing() -> None:
    """Receivers are closed with what main sent, while main changes and frees its objects."""
    for turn in range(6):
        other = isthmus.create()
        r, s = isthmus.create_channel(None)
        values = [payload(MIB, turn * 9 + n) for n in range(4)]
        for value in values:
            s.send(value)
        other.run("kept = [r.recv() for _ in range(4)]", r=r)
        del values[1], value
        if turn % 2:
            values.clear()
        other.close()
        expected = (payload(MIB, turn * 9 + n) for n in (0, 2, 3))
        assert all(left == right for left, right in zip(values, expected, strict=False))
        values.clear()
        del expected
        eventually(nothing_is_held, "everything given back")


command(
    {
        "keeping": keeping,
        "undelivered": undelivered,
        "waiting_peers": waiting_peers,
        "own_waiting_threads": own_waiting_threads,
        "closed_from_elsewhere": closed_from_elsewhere,
        "reused_window": reused_window,
        "main_object_outlives_nothing": main_object_outlives_nothing,
    }
)

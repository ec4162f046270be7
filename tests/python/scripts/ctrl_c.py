"""Ctrl-C while the main OS thread runs another interpreter: `ctrl_c.py WHAT`."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from common import PATIENCE, command, eventually, run_in_thread

import isthmus


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def press_when(ready: isthmus.RecvChannel, pressed: isthmus.SendChannel | None = None) -> None:
    """Press once something is received from `ready`; then say so."""

    def wait() -> None:
        ready.recv(timeout=PATIENCE)
        press()
        if pressed is not None:
            pressed.send(1)

    threading.Thread(target=wait, daemon=True).start()


def _native_threads_sleep() -> bool:
    """Those that isthmus made have nothing to do any more: who is woken counts as running at once."""
    ours = {str(each.native_id) for each in threading.enumerate()}
    for task in set(os.listdir("/proc/self/task")) - ours:
        try:
            stat = Path(f"/proc/self/task/{task}/stat").read_text()
        except OSError:  # it has ended
            continue
        if stat.rpartition(")")[2].split()[0] != "S":
            return False
    return True


def nothing_follows() -> None:
    """A second KeyboardInterrupt would come here."""
    eventually(_native_threads_sleep, "whoever could deliver one is done")
    for _ in range(100_000):
        pass


def raised[E: BaseException](kind: type[E], begin: Callable[[], object]) -> E:
    """The exception of exactly that class that `begin` ends with."""
    try:
        begin()
    except kind as error:
        if type(error) is kind:
            return error
        raise
    raise AssertionError(f"no {kind.__name__}")


def stops(begin: Callable[[isthmus.SendChannel], object], line: str) -> None:
    """What `begin` runs ends with one KeyboardInterrupt, whose cause shows `line`."""
    r, s = isthmus.create_channel(None)
    press_when(r)
    cause = raised(KeyboardInterrupt, lambda: begin(s)).__cause__
    assert isinstance(cause, isthmus.ExecutionFailed), cause
    assert line in cause.excinfo.errdisplay, cause.excinfo.errdisplay
    nothing_follows()
    print("stopped once", flush=True)


LOOP = "s.send(1)\nwhile True:\n    pass"
WAIT = "import isthmus\nr, _ = isthmus.create_channel()\ns.send(1)\nr.recv()"


def _loop(s: isthmus.SendChannel) -> None:
    s.send(1)
    while True:
        pass


def run() -> None:
    other = isthmus.create()
    for _ in range(3):
        stops(lambda s: other.run(LOOP, s=s), "in <module>")


def methods() -> None:
    other = isthmus.create()
    stops(lambda s: other.call(_loop, s), "in _loop")

    def execute(s: isthmus.SendChannel) -> None:
        other.prepare_main(s=s)
        other.exec(LOOP)

    stops(execute, "in <module>")


def wait() -> None:
    other = isthmus.create()
    stops(lambda s: other.run(WAIT, s=s), "line 4, in <module>")


def shared_gil() -> None:
    other = isthmus.create(gil="shared")
    stops(lambda s: other.run(LOOP, s=s), "in <module>")
    stops(lambda s: other.run(WAIT, s=s), "line 4, in <module>")


def nested() -> None:
    """The innermost is stopped; nobody catches it on the way, whichever methods are on it."""
    outer, inner = isthmus.create(), isthmus.create()
    for method in ("run(loop, s=s)", "exec(loop)"):
        source = f"inner.prepare_main(s=s)\ninner.{method}"
        stops(
            lambda s, source=source: outer.run(source, inner=inner, s=s, loop=LOOP),  # type: ignore[misc]
            "line 2, in <module>",
        )
    stops(lambda s: outer.call(lambda i, loop, s: i.run(loop, s=s), inner, LOOP, s), "<lambda>")


def nested_catches() -> None:
    """The outer one catches what stopped the inner one, and goes on."""
    outer, inner = isthmus.create(), isthmus.create()
    r, s = isthmus.create_channel(None)
    for _ in range(3):
        press_when(r)
        outer.run(
            "caught = None\n"
            "try:\n    inner.run(loop, s=s)\n"
            "except KeyboardInterrupt as error:\n    caught = type(error.__cause__).__name__\n"
            "for _ in range(100_000): pass\n"
            "assert caught == 'ExecutionFailed', caught",
            inner=inner,
            loop=LOOP,
            s=s,
        )
        nothing_follows()
    print("went on", flush=True)


def inner_ends() -> None:
    """One press that the inner run is too late for stops the outer one."""
    outer, inner = isthmus.create(), isthmus.create()
    source = """
import os, signal
inner.run('''
import os, signal
class Late:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGINT)
        return list, ()
''')
inner.call(eval, "Late()")
while True:
    pass
"""
    cause = raised(KeyboardInterrupt, lambda: outer.run(source, inner=inner)).__cause__
    assert isinstance(cause, isthmus.ExecutionFailed)
    assert "line 1" in cause.excinfo.errdisplay  # 10, 11 or 12: after the call or in the loop
    nothing_follows()
    print("stopped once", flush=True)


def too_late() -> None:
    """A run that has done its work keeps its result; Python's handler runs once main is back."""
    other = isthmus.create()
    other.run(
        "import os, signal\n"
        "class Late:\n"
        "    def __reduce__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        for _ in range(100_000): pass\n"
        "        return list, ()\n"
    )

    def call() -> None:
        other.call(eval, "Late()")
        nothing_follows()

    assert raised(KeyboardInterrupt, call).__cause__ is None
    nothing_follows()
    print("stopped once", flush=True)


def catches() -> None:
    """Code that catches it goes on, as in plain Python."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    for body in ("while True: pass", "isthmus.create_channel()[0].recv()"):
        press_when(r)
        other.run(
            "import isthmus\n"
            f"try:\n    s.send(1)\n    {body}\n"
            "except KeyboardInterrupt:\n    caught = True\n"
            "for _ in range(100_000): pass\nassert caught",
            s=s,
        )
        nothing_follows()
    print("went on", flush=True)


def fails_with_another() -> None:
    """What the code makes of it is what arrives."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    press_when(r)
    source = (
        "try:\n    s.send(1)\n    while True: pass\nexcept KeyboardInterrupt:\n    raise ValueError('why')"
    )
    assert raised(ValueError, lambda: other.run(source, s=s)).args == ("why",)
    nothing_follows()
    print("went on", flush=True)


_PRESSED_MEANWHILE = (
    f"s.send(1)\npressed.recv(timeout={PATIENCE})\nfor _ in range(100_000): pass\ndone = True"
)


def own_handler() -> None:
    """A handler of the program's own runs when the main interpreter is back, and stops nothing."""
    seen: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    pressed, tell = isthmus.create_channel(None)
    press_when(r, tell)
    other.run(_PRESSED_MEANWHILE, s=s, pressed=pressed)
    eventually(lambda: seen == [signal.SIGINT], "the handler runs")
    other.run("assert done")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stops(lambda s: other.run(LOOP, s=s), "in <module>")


def ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    pressed, tell = isthmus.create_channel(None)
    press_when(r, tell)
    other.run(_PRESSED_MEANWHILE, s=s, pressed=pressed)
    nothing_follows()
    print("went on", flush=True)


def other_threads() -> None:
    """Runs on other threads are none of its business."""
    here, there = isthmus.create(), isthmus.create()
    _r, _s = isthmus.create_channel(None)
    thread = run_in_thread(there, "while True: pass")
    eventually(there.is_running, "the run begins")
    stops(lambda s: here.run(LOOP, s=s), "in <module>")
    assert thread.is_alive()
    assert there.interrupt(LookupError)
    thread.join()
    assert type(thread.failure) is LookupError  # type: ignore[attr-defined]


def one_each() -> None:
    """Presses at any moment of many short runs: one KeyboardInterrupt each, none lost, none twice."""
    presses = 200
    seed = random.randrange(1 << 30)
    print("seed", seed, flush=True)
    chance = random.Random(seed)
    armed = threading.Event()
    seen = 0

    def presser() -> None:
        for n in range(presses):
            armed.wait()
            armed.clear()
            time.sleep(chance.random() * 0.003)  # any moment: the outcome is the same at all of them
            press()
            eventually(lambda n=n: seen == n + 1, "it is noticed")  # type: ignore[misc]

    other, inner = isthmus.create(), isthmus.create()
    other.prepare_main(inner=inner)
    thread = threading.Thread(target=presser, daemon=True)
    thread.start()
    while seen < presses:
        try:
            armed.set()
            while True:
                other.run("for _ in range(300): pass")
                other.run("inner.run('for _ in range(300): pass')")
        except KeyboardInterrupt:
            seen += 1
    thread.join()
    nothing_follows()
    print("one each", flush=True)


def terminal() -> None:
    """Whoever holds the other side of the terminal presses Ctrl-C when told to."""
    other = isthmus.create()
    try:
        other.run("print('press', flush=True)\nwhile True: pass")
    except KeyboardInterrupt:
        nothing_follows()
        print("stopped once", flush=True)
        sys.exit(0)


command(
    {
        each.__name__: each
        for each in (
            *(run, methods, wait, shared_gil, nested, nested_catches, inner_ends, too_late, catches),
            *(fails_with_another, own_handler, ignored, other_threads, one_each, terminal),
        )
    }
)

"""Leaving the process with interpreters, waits and messages in every state: `leaving.py STATE HOW`."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

#: Called after the runtime's own exit handler, which is registered when isthmus is imported.
early: list[Callable[[], None]] = []
atexit.register(lambda: [handler() for handler in early])

from common import MIB, PATIENCE, exercise, payload, run_in_thread  # noqa: E402

import isthmus  # noqa: E402

kept: list[Any] = []


def _filled() -> isthmus.Interpreter:
    """An interpreter that holds twins of ours, while we hold twins of its objects."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    for n in range(3):
        s.send(payload(MIB, n))
    other.run(
        "import io, isthmus, isthmus._remote, sys, time\n"
        "got = [r.recv() for _ in range(3)]; stream = io.BytesIO(got[0]); b = b'b' * 1_000_000\n"
        "s.send(b); t = 't' * 300_000; s.send(t)",
        r=r,
        s=back_s,
    )
    kept.extend([other, back_r.recv(), back_r.recv(), r, s, back_r, back_s, payload(MIB, 9)])
    return other


def _runs(source: str, shared: dict[str, Any] | None = None) -> None:
    """A daemon thread runs `source` in another interpreter; returns once it has begun."""
    ready_r, ready_s = isthmus.create_channel(None)
    other = _filled()
    kept.append(
        run_in_thread(other, f"ready.send(1)\n{source}", {"ready": ready_s, **(shared or {})}, daemon=True)
    )
    ready_r.recv(timeout=PATIENCE)


def idle() -> None:
    for _ in range(3):
        _filled()


def undelivered() -> None:
    other = _filled()
    r, s = isthmus.create_channel(None)
    for n in range(10):
        s.send((payload(MIB, n), s, r, other))
    other.run("for x in got: s.send((x, b, t))")
    kept.append(s)


def python_loop() -> None:
    _runs("while True: pass")
    _runs("while True:\n  x = b'x' * 200_000; y = x + b'.'")


def blocked_in_recv() -> None:
    for _ in range(2):
        _runs("never.recv()", {"never": isthmus.create_channel()[0]})


def blocked_in_send() -> None:
    r, s = isthmus.create_channel()
    kept.append(r)
    _runs("full.send(b)", {"full": s})


def blocked_in_sleep() -> None:
    """In C code that ends before the patience of the exit does; below, after it."""
    _runs("time.sleep(1.5)")


def blocked_for_ever() -> None:
    _runs("time.sleep(600)")


_SWALLOWING = """
for _ in range(times):
    try:
        while True: pass
    except KeyboardInterrupt: pass
while True: pass
"""


def swallows_one() -> None:
    """The first interruption is lost on the code that runs."""
    _runs(_SWALLOWING, {"times": 1})


def swallows_all() -> None:
    _runs(_SWALLOWING, {"times": 1_000_000})


_LETS_IT_GO_ON = """
import os, signal, sys, time
pid = int(sys.argv[1])
while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "T":
    time.sleep(0.01)
time.sleep(6)
os.kill(pid, signal.SIGCONT)
"""


def stands_still() -> None:
    """The process is stopped while its exit waits, for longer than that has patience."""
    kept.append(subprocess.Popen([sys.executable, "-I", "-c", _LETS_IT_GO_ON, str(os.getpid())]))
    r, s = isthmus.create_channel()
    source = """
try:
    import os, signal
    s.send(1)
    while True: pass
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.3)
"""
    _runs(source, {"s": s})
    r.recv(timeout=PATIENCE)


def daemons_close_them() -> None:
    """Their threads hold the last references, and close them once the runs are stopped."""
    r, s = isthmus.create_channel(None)
    for _ in range(6):
        source = "try:\n    s.send(1)\n    while True: pass\nexcept KeyboardInterrupt: pass"
        run_in_thread(isthmus.create(), source, {"s": s}, daemon=True)
    for _ in range(6):
        r.recv(timeout=PATIENCE)
    s.close()


def runs_again() -> None:
    """A daemon thread begins one run after the other, until it is refused."""
    other = _filled()
    begun = threading.Event()

    def again() -> None:
        with contextlib.suppress(isthmus.InterpreterError):
            while True:
                other.run("x = b'x' * 200_000")
                begun.set()

    threading.Thread(target=again, daemon=True).start()
    assert begun.wait(PATIENCE)


def begins_to_run() -> None:
    """The run begins when the process ends already, or does not begin."""
    other = _filled()

    def begin() -> None:
        with contextlib.suppress(KeyboardInterrupt, isthmus.InterpreterError):
            other.run("while True: pass")

    threading.Thread(target=begin, daemon=True).start()


def runs_within_runs() -> None:
    """Code of the older interpreter waits for what it runs in the younger one."""
    r, s = isthmus.create_channel(None)
    _runs("isthmus.create().run('s.send(1)\\nwhile True: pass', s=s)", {"s": s})
    r.recv(timeout=PATIENCE)


def main_waits() -> None:
    """Daemon threads of the main interpreter wait in recv and send while the process ends."""
    _filled()
    r, s = isthmus.create_channel()
    full_r, full_s = isthmus.create_channel(0)
    kept.extend([r, s, full_r, full_s])
    started = threading.Semaphore(0)

    def wait(operation: Callable[..., Any], *arguments: Any) -> None:
        started.release()
        operation(*arguments)

    for _ in range(3):
        threading.Thread(target=wait, args=(r.recv,), daemon=True).start()
        threading.Thread(target=wait, args=(full_s.send, payload(MIB)), daemon=True).start()
    for _ in range(6):
        started.acquire()


def traffic() -> None:
    """Objects go to and fro between daemon threads of main and another interpreter until the very end."""
    r, s = isthmus.create_channel(4)
    back_r, back_s = isthmus.create_channel(4)
    _runs("for x in r: s.send(x); s.send(b'n' * 100_000)", {"r": r, "s": back_s})

    def feed() -> None:
        value = payload(100_000)
        with contextlib.suppress(EOFError):  # the other interpreter is closed first
            while True:
                s.send(value)

    def drain() -> None:
        with contextlib.suppress(EOFError):
            while True:
                back_r.recv()

    for body in (feed, drain):
        threading.Thread(target=body, daemon=True).start()
    for _ in range(50):
        back_r.recv(timeout=PATIENCE)


def own_threads() -> None:
    """Threads of other interpreters wait for ever; nobody runs in their __main__."""
    other = _filled()
    other.run(
        "import threading\n"
        "def wait():\n"
        "    try: never.recv()\n"
        "    except isthmus.InterpreterError: pass\n"
        "for _ in range(3): threading.Thread(target=wait).start()",
        never=isthmus.create_channel()[0],
    )


def releases() -> None:
    """Hundreds of releases are on their way to owners that will not ask for them any more."""
    other = _filled()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    for n in range(200):
        s.send(payload(70_000, n))
    other.run(
        "many = [r.recv() for _ in range(200)]\nfor n in range(200): s.send(bytes([n]) * 70_000)",
        r=r,
        s=back_s,
    )
    got = [back_r.recv() for _ in range(200)]
    _runs("time.sleep(0.5)")  # the exit finds a run that it has to wait for
    del got
    other.run("many.clear()")


class _LateUser:
    """Uses isthmus from its finalizer, whenever that runs."""

    def __init__(self) -> None:
        self.interpreter = isthmus.create()
        self.recv, self.send = isthmus.create_channel(None)
        self.send.send(payload(MIB, 1))

    def __del__(self) -> None:
        try:
            assert self.recv.recv(timeout=5) == payload(MIB, 1)
            self.send.send(payload(MIB, 2))
            self.interpreter.run("x = b'x' * 1_000_000")
            self.interpreter.close()
        except (isthmus.InterpreterError, EOFError, TypeError, NameError, AttributeError):
            pass  # too late: a clean refusal


def finalizers() -> None:
    _filled()
    kept.append(_LateUser())
    builtins.late = _LateUser()  # type: ignore[attr-defined]
    sys.late = _LateUser()  # type: ignore[attr-defined]
    cycle: list[Any] = [_LateUser()]
    cycle.append(cycle)
    other = kept[0]
    other.run(
        "import builtins, isthmus\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        try: s.send(b); s.send(b'l' * 200_000); stream.write(b'!')\n"
        "        except (isthmus.InterpreterError, EOFError, NameError, AttributeError, TypeError): pass\n"
        "builtins.late = Late(); late = Late(); sys.late = Late()"
    )


def exit_handlers() -> None:
    """Handlers that run before and after the runtime's own use it."""
    _filled()

    def late() -> None:
        with contextlib.suppress(isthmus.InterpreterError):
            exercise(count=2, rounds=1)

    atexit.register(late)
    early.append(late)


def main_alone() -> None:
    """No other interpreter was ever made, but objects lie in slots and in channels."""
    isthmus.enable()
    r, s = isthmus.create_channel(None)
    kept.extend([payload(MIB), "t" * 300_000, r, s])
    for value in kept[:2]:
        s.send(value)
    builtins.kept = kept  # type: ignore[attr-defined]


def leave_by_exit() -> None:
    sys.exit(3)


def leave_at_once() -> None:
    os._exit(4)


def leave_by_exception() -> None:
    raise LookupError("on purpose")


def leave_by_sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def leave_by_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


STATES = (
    idle, undelivered, python_loop, blocked_in_recv, blocked_in_send, blocked_in_sleep,
    blocked_for_ever, swallows_one, swallows_all, daemons_close_them, runs_again, begins_to_run,
    runs_within_runs, main_waits, traffic, own_threads, releases, finalizers, exit_handlers,
    main_alone, stands_still,
)  # fmt: skip
WAYS = {
    "return": lambda: None,
    "exit": leave_by_exit,
    "_exit": leave_at_once,
    "exception": leave_by_exception,
    "sigterm": leave_by_sigterm,
    "ctrl_c": leave_by_ctrl_c,
}

{state.__name__: state for state in STATES}[sys.argv[1]]()
print("ready")
WAYS[sys.argv[2]]()

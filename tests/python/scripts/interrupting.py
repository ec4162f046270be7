"""Interrupts and what a process does with its threads: `interrupting.py WHAT`."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

from common import PATIENCE, command, disarm_watchdog, ended_well, eventually, in_child, run_in_thread

import isthmus

kept: list[isthmus.Interpreter] = []


def threads() -> None:
    """After the last interpreter was closed nothing of the courier, nor of Ctrl-C's watch, is left."""
    disarm_watchdog()  # it is a thread, too
    warnings.simplefilter("error")
    for _ in range(5):
        with isthmus.create() as other:
            other.run("x = 1")  # on the main OS thread: the watch is there from now on
            thread = run_in_thread(other, "while True: pass")
            eventually(other.interrupt, "there is a run")
            thread.join()
            assert type(thread.failure) is KeyboardInterrupt  # type: ignore[attr-defined]
        eventually(
            lambda: os.listdir("/proc/self/task") == [str(os.getpid())],
            "only this thread is left: the program's own ends a moment after its join",
        )
        ended_well(in_child(lambda: None))
    print("one thread")


def _interrupts() -> None:
    """By the courier of a new interpreter, and by Ctrl-C."""
    with isthmus.create() as other:
        assert other.interrupt() is False
        thread = run_in_thread(other, "while True: pass")
        eventually(lambda: other.interrupt(LookupError), "there is a run")
        thread.join()
        assert type(thread.failure) is LookupError  # type: ignore[attr-defined]
        with contextlib.suppress(KeyboardInterrupt):
            other.run("import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhile True: pass")


def fork() -> None:
    """The threads that deliver exceptions are not in a child, which starts its own."""
    for _ in range(3):
        _interrupts()
        ended_well(in_child(_interrupts))
    print("children went on")


def exit() -> None:
    """What was asked of the run before does not keep it from being stopped."""
    r, s = isthmus.create_channel(None)
    other = isthmus.create()
    kept.append(other)
    run_in_thread(
        other,
        """
for _ in range(3):
    try:
        s.send(1)
        while True: pass
    except KeyboardInterrupt:
        pass
""",
        {"s": s},
        daemon=True,
    )
    for _ in range(2):
        r.recv(timeout=PATIENCE)
        assert other.interrupt()
    r.recv(timeout=PATIENCE)
    sys.exit(0)


command({"threads": threads, "fork": fork, "exit": exit})

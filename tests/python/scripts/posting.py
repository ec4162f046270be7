"""Posted calls at the end of the process, and across forks: `posting.py CASE`."""

from __future__ import annotations

import operator
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from common import PATIENCE, ended_well, eventually, in_child, status_of

import isthmus

kept: list[Any] = []


def _spin(begun: isthmus.SendChannel) -> None:
    begun.send(1)
    while True:
        pass


def _sleep(begun: isthmus.SendChannel) -> None:
    begun.send(1)
    time.sleep(1000)  # C code that outlasts all patience


def _swallow(begun: isthmus.SendChannel) -> None:
    begun.send(1)
    try:
        while True:
            pass
    except KeyboardInterrupt:
        while True:
            pass


def _receive(begun: isthmus.SendChannel, never: isthmus.RecvChannel) -> None:
    begun.send(1)
    never.recv()


def _begin(to: isthmus.Interpreter, body: Callable[..., None], *more: Any, keep: bool = True) -> None:
    r, s = isthmus.create_channel(None)
    call = to.post(body, s, *more)
    r.recv(PATIENCE)
    kept.append((to, r, call if keep else None))


def endless() -> None:
    for _ in range(3):
        _begin(isthmus.create(), _spin)


def endless_in_main() -> None:
    _begin(isthmus.get_main(), _spin)


def blocked() -> None:
    r, s = isthmus.create_channel(None)
    kept.append(s)
    for to in (isthmus.create(), isthmus.get_main()):
        _begin(to, _receive, r)


def swallows() -> None:
    _begin(isthmus.create(), _swallow)


def many_waiting() -> None:
    other = isthmus.create()
    _begin(other, _spin)
    kept.extend(other.post(len, b"x" * 100_000) for _ in range(2000))


def dropped() -> None:
    _begin(isthmus.create(), _spin, keep=False)


def of_others() -> None:
    _interpreters = __import__("_interpreters")
    _begin(isthmus.Interpreter(_interpreters.create()), _spin)


def in_c_code() -> None:
    _begin(isthmus.create(), _sleep)


# ---- forks


def _fork_well(work: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a process with more threads than one
        pid = in_child(work)
    ended_well(pid)


def fork() -> None:
    """In the child nothing of the parent's runs, and nothing hangs; new calls do run."""
    main = isthmus.get_main()
    r, s = isthmus.create_channel(None)
    go_r, go_s = isthmus.create_channel(None)
    over = main.post(operator.add, 1, 2)
    assert over.wait(PATIENCE)
    begun = main.post(_receive, s, go_r)
    r.recv(PATIENCE)
    waiting = main.post(operator.add, 3, 4)
    unread = main.post(list.append, kept, 1)

    def child() -> None:
        for lost in (begun, waiting):
            assert lost.wait(PATIENCE)
            assert isinstance(lost.exception(), isthmus.InterpreterError)
            assert not lost.cancel()
        assert over.result() == 3
        assert main.post(operator.add, 5, 6).result(PATIENCE) == 11
        assert isinstance(unread.exception(PATIENCE), isthmus.InterpreterError)
        stats = isthmus.stats()
        assert stats.pending_calls_posted == stats.pending_calls_run, stats
        assert not main.closed.is_set()

    _fork_well(child)
    go_s.send(None)
    assert begun.result(PATIENCE) is None
    assert waiting.result(PATIENCE) == 7


def _fork_there() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        return 0  # the child: its only thread is this one, which ends with the call
    return status_of(pid)


def fork_inside() -> None:
    """A posted call forks: the child ends when the call has."""
    assert isthmus.get_main().post(_fork_there).result(PATIENCE) == 0
    assert isthmus.get_main().post(operator.add, 1, 1).result(PATIENCE) == 2


def fork_later() -> None:
    """The interpreter that a call was posted to is not in the child."""
    with isthmus.create() as other:
        assert other.post(operator.add, 1, 1).result(PATIENCE) == 2
        closed = other.closed
    eventually(lambda: isthmus.stats().inbox_depths == {0: 0}, "alone")

    def child() -> None:
        assert closed.is_set()
        with isthmus.create() as fresh:
            assert fresh.post(operator.add, 2, 2).result(PATIENCE) == 4
        assert fresh.closed.is_set()

    _fork_well(child)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    if not sys.argv[1].startswith("fork"):
        print("ready", flush=True)

"""Interpreter.interrupt: what finishes before it is raised, and whom it reaches when runs run others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import isthmus
from conftest import LARGE, PATIENCE, Running, interrupted, until


def test_c_code_finishes_and_nobody_waits_for_it(
    interp: isthmus.Interpreter, started: Callable[..., Running]
) -> None:
    r, s = isthmus.create_channel(None)
    run = started(
        interp,
        """
import functools, operator, re, time
slow = functools.partial(re.compile("(a?){22}a{22}").match, "a" * 22)  # a second or so, the GIL never let go
steps = functools.partial(s.send, "in C"), slow, functools.partial(s.send, "C is over")
list(map(operator.call, steps))  # no bytecode in between
while True: pass
""",
        s=s,
    )
    assert r.recv(timeout=PATIENCE) == "in C"
    assert all(interp.interrupt() for _ in range(1000))
    assert r.recv_nowait() is None
    interrupted(run)
    assert r.recv_nowait() == "C is over"


def test_sleep_finishes(interp: isthmus.Interpreter, started: Callable[..., Running]) -> None:
    r, s = isthmus.create_channel(None)
    run = started(
        interp,
        """
import time
began = time.monotonic()
try:
    time.sleep(0.3)
    while True: pass
except KeyboardInterrupt:
    s.send(time.monotonic() - began)
    raise
""",
        s=s,
    )
    run.until_asleep()
    assert interp.interrupt()
    interrupted(run)
    assert r.recv_nowait(0.0) >= 0.3


def test_a_call_that_blocks_finishes_and_nobody_waits_for_it(
    interp: isthmus.Interpreter, started: Callable[..., Running]
) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb", 0) as file:
        run = started(interp, "import os\nos.read(fd, 1)\nwhile True: pass", fd=reading)
        run.until_asleep()
        assert interp.interrupt()
        assert interp.is_running()
        file.write(b"x")
        interrupted(run)


def test_a_call_without_bytecode_ends_by_it(interp: isthmus.Interpreter) -> None:
    """There is no next bytecode: it is raised at the end instead."""
    reader, writer = os.pipe()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(interp.call, os.write, writer, bytes(LARGE))  # more than the pipe takes
        assert os.read(reader, 1) == b"\0"  # it is in C code
        assert interp.interrupt()
        left = LARGE - 1
        while left > 0:
            left -= len(os.read(reader, left))
        failure = run.exception(PATIENCE)
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert failure.excinfo.type.__name__ == "KeyboardInterrupt"
    assert interp.call(os.write, writer, b"next") == 4
    assert os.read(reader, LARGE) == b"next"
    os.close(reader)
    os.close(writer)


def test_an_interpreter_that_the_run_waits_for_finishes(
    new_interp: Callable[..., isthmus.Interpreter], started: Callable[..., Running]
) -> None:
    outer, inner = new_interp(), new_interp()
    r, s = isthmus.create_channel()
    run = started(outer, "inner.run('r.recv()', r=r)", inner=inner, r=r)
    assert until(inner.is_running)
    assert outer.interrupt()
    assert inner.is_running()
    s.send(1, timeout=PATIENCE)
    interrupted(run)
    assert not inner.interrupt()


def test_the_innermost_alone(
    new_interp: Callable[..., isthmus.Interpreter], started: Callable[..., Running]
) -> None:
    outer, inner = new_interp(), new_interp()
    run = started(
        outer,
        """
try:
    inner.run("ready.send(2)\\nwhile True: pass", ready=ready)
except LookupError as error:
    caught = type(error)
assert caught is LookupError
""",
        inner=inner,
    )
    assert until(lambda: inner.interrupt(LookupError))
    run.join()

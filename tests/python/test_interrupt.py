"""Interpreter.interrupt: what it stops, what it leaves alone, and that it hits the run it was aimed at."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import isthmus
from conftest import LARGE, PATIENCE, Running, until

Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
Spawn = Callable[..., Running]


@pytest.fixture
def ready(ends: Ends) -> Ends:
    """The channel on which a run says that it has begun."""
    return ends


@pytest.fixture
def started(spawn: Spawn, ready: Ends) -> Callable[..., Running]:
    """Begin a run, and return when its code has come to the given source."""

    def start(interp: isthmus.Interpreter, source: str, **shared: Any) -> Running:
        run = spawn(interp, f"ready.send(1)\n{source}", ready=ready[1], **shared)
        ready[0].recv(timeout=PATIENCE)
        return run

    return start


def interrupted(run: Running, exc: type[BaseException] = KeyboardInterrupt) -> None:
    with pytest.raises(exc) as caught:
        run.join()
    assert type(caught.value) is exc
    assert caught.value.args == ()


# ---- what it stops


def test_a_busy_loop(interp: isthmus.Interpreter, started: Callable[..., Running]) -> None:
    run = started(interp, "while True: pass")
    assert interp.interrupt() is True
    interrupted(run)
    interp.run("assert 1 + 1 == 2")


def test_whoever_began_it_and_however(interp: isthmus.Interpreter, ready: Ends) -> None:
    ways: list[Callable[[], None]] = [
        lambda: interp.exec("ready.send(1)\nwhile True: pass"),
        lambda: interp.call(lambda ready: [ready.send(1), all(iter(lambda: 1, 0))], ready[1]),
    ]
    interp.prepare_main(ready=ready[1])
    for way in ways:
        failures: list[BaseException] = []

        def begin(way: Callable[[], None] = way, failures: list[BaseException] = failures) -> None:
            try:
                way()
            except isthmus.ExecutionFailed as error:
                failures.append(error)

        thread = threading.Thread(target=begin)
        thread.start()
        ready[0].recv(timeout=PATIENCE)
        assert interp.interrupt()
        thread.join(PATIENCE)
        [failure] = failures
        assert isinstance(failure, isthmus.ExecutionFailed)
        assert failure.excinfo.type.__name__ == "KeyboardInterrupt"


WAITS = {
    "recv": "recv_end.recv()",
    "send": "send_end.send(b'x' * 100_000)",
    "iteration": "list(recv_end)",
    "recv_many": "recv_end.recv_many(3)",
    "send_many": "send_end.send_many([1, 2, 3])",
    "select": "isthmus.select(recv_end, (other, 1))",
    "select of 1000": "isthmus.select(*[isthmus.create_channel()[0] for _ in range(1000)])",
    "queue get": "queue.get()",
    "queue put": "queue.put(2)",
    "timeout": "recv_end.recv(timeout=600)",
    "atomic wait": "buffer.atomic('i').wait(0, 0)",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("asleep", [True, False], ids=["asleep", "at once"])
def test_waits_in_isthmus(
    wait: str, asleep: bool, interp: isthmus.Interpreter, started: Callable[..., Running]
) -> None:
    recv_end, own_send = isthmus.create_channel()
    own_recv, send_end = isthmus.create_channel()
    another_recv, other = isthmus.create_channel()
    queue: isthmus.Queue = isthmus.create_queue(1)
    if wait == "queue.put(2)":
        queue.put(1)
    buffer = isthmus.SharedBuffer(64)
    run = started(
        interp,
        f"import isthmus\n{wait}",
        recv_end=recv_end,
        send_end=send_end,
        other=other,
        queue=queue,
        buffer=buffer,
    )
    if asleep:
        run.until_asleep()
    assert interp.interrupt(ZeroDivisionError)
    interrupted(run, ZeroDivisionError)
    assert own_recv.recv_nowait() is None  # what it offered is taken back
    interp.reset_main()
    for end in (recv_end, own_send, own_recv, send_end, another_recv, other):
        end.close()


def test_it_is_raised_once(interp: isthmus.Interpreter, started: Callable[..., Running]) -> None:
    r, s = isthmus.create_channel()
    back, answer = isthmus.create_channel()
    run = started(
        interp,
        """
try:
    r.recv()
except KeyboardInterrupt as error:
    text = repr(error)
for _ in range(10_000):
    pass  # a second one would come here
s.send(text)
assert r.recv() == "go on"
""",
        r=r,
        s=answer,
    )
    run.until_asleep()
    assert interp.interrupt(None)
    assert back.recv(timeout=PATIENCE) == "KeyboardInterrupt()"
    s.send("go on", timeout=PATIENCE)
    run.join()


def test_a_thread_beside_the_run_is_left_alone(
    interp: isthmus.Interpreter, started: Callable[..., Running]
) -> None:
    r, s = isthmus.create_channel()
    back, answer = isthmus.create_channel(None)
    run = started(
        interp,
        """
import threading
def beside():
    try:
        answer.send(r.recv())
    except BaseException as error:
        answer.send(repr(error))
thread = threading.Thread(target=beside)
try:
    thread.start()
    answer.send("loops")
    while True: pass
finally:
    answer.send("stopped")
    thread.join()
""",
        r=r,
        answer=answer,
    )
    assert back.recv(timeout=PATIENCE) == "loops"
    assert interp.interrupt()
    assert back.recv(timeout=PATIENCE) == "stopped"
    s.send("received", timeout=PATIENCE)
    assert back.recv(timeout=PATIENCE) == "received"
    interrupted(run)


def test_code_may_catch_it_and_go_on(interp: isthmus.Interpreter, started: Callable[..., Running]) -> None:
    r, s = isthmus.create_channel(None)
    run = started(
        interp,
        """
for expected in (ValueError, KeyboardInterrupt, SystemExit, OSError):
    try:
        s.send(1)
        while True: pass
    except expected:
        pass
""",
        s=s,
    )
    for exc in (ValueError, KeyboardInterrupt, SystemExit, OSError):
        r.recv(timeout=PATIENCE)
        assert interp.interrupt(exc)
    run.join()


# ---- what finishes first


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


# ---- nothing to interrupt, or nobody who could be


def test_an_idle_interpreter_is_left_alone(interp: isthmus.Interpreter) -> None:
    assert interp.interrupt() is False
    interp.run("for _ in range(1000): pass")
    assert interp.interrupt(exc=ValueError) is False
    assert interp.interrupt(None) is False


def test_the_program_itself_is_no_run() -> None:
    assert isthmus.get_main().interrupt() is False
    assert isthmus.get_current().interrupt(SystemExit) is False


def test_a_run_may_interrupt_itself(interp: isthmus.Interpreter) -> None:
    with pytest.raises(IndexError) as caught:
        interp.run("import isthmus\nisthmus.get_current().interrupt(IndexError)\nwhile True: pass")
    assert isinstance(caught.value.__cause__, isthmus.ExecutionFailed)


def test_a_thread_may_interrupt_the_run_of_its_interpreter(interp: isthmus.Interpreter) -> None:
    with pytest.raises(IndexError):
        interp.run(
            """
import isthmus, threading
r, s = isthmus.create_channel()
thread = threading.Thread(target=lambda: isthmus.get_current().interrupt(IndexError))
try:
    thread.start()
    r.recv()
finally:
    thread.join()
"""
        )


def test_a_closed_interpreter(interp: isthmus.Interpreter) -> None:
    interp.close()
    with pytest.raises(isthmus.InterpreterNotFoundError):
        interp.interrupt()


class _OfOurs(KeyboardInterrupt):
    pass


@pytest.mark.parametrize(
    "wrong",
    [
        int,
        object,
        3,
        "KeyboardInterrupt",
        KeyboardInterrupt(),
        _OfOurs,
        isthmus.InterpreterError,
        UnicodeDecodeError,
        ExceptionGroup,
        BaseExceptionGroup,
    ],
    ids=repr,
)
def test_only_builtin_exception_classes(wrong: Any, interp: isthmus.Interpreter) -> None:
    with pytest.raises(TypeError):
        interp.interrupt(wrong)
    with pytest.raises(TypeError):
        interp.interrupt(KeyboardInterrupt, 1)  # type: ignore[call-arg]


def test_under_the_main_gil(
    new_interp: Callable[..., isthmus.Interpreter], started: Callable[..., Running]
) -> None:
    legacy = new_interp(gil="shared")
    for source in ("while True: pass", "isthmus = __import__('isthmus'); isthmus.create_channel()[0].recv()"):
        run = started(legacy, source)
        assert legacy.interrupt(OverflowError)
        interrupted(run, OverflowError)


def test_one_of_the_standard_librarys(spawn: Spawn, started: Callable[..., Running]) -> None:
    library = pytest.importorskip("_interpreters")
    made = library.create("isolated")
    number = made[0] if isinstance(made, tuple) else made
    try:
        interp = isthmus.Interpreter(number)
        run = started(interp, "while True: pass")
        assert interp.interrupt()
        interrupted(run)
        library.run_string(number, "x = 1")
        assert interp.interrupt() is False
        del interp
    finally:
        if any(number in (each if isinstance(each, tuple) else (each,)) for each in library.list_all()):
            library.destroy(number)


# ---- aim

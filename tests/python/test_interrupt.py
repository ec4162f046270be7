"""Interpreter.interrupt: what it stops, what it leaves alone, and that it hits the run it was aimed at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from conftest import PATIENCE, Running, interrupted

Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
Spawn = Callable[..., Running]


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

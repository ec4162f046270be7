"""Posted calls and the end: of their interpreter, of the one that waits, of the process; forks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest

import isthmus
from _subprocess import run_script
from conftest import PATIENCE, Running, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def _wait_for(begun: isthmus.SendChannel, go: isthmus.RecvChannel) -> str:
    begun.send(None)
    try:
        go.recv()
    except isthmus.InterpreterError:
        return "woken"
    return "went"


def test_what_waits_fails_and_what_runs_is_let_finish() -> None:
    interp = isthmus.create()
    begun_r, begun_s = isthmus.create_channel(None)
    go_r, go_s = isthmus.create_channel(None)
    running = interp.post(_wait_for, begun_s, go_r)
    begun_r.recv(PATIENCE)
    waiting = [interp.post(len, b"x" * 100_000) for _ in range(10)]
    interp.close()
    assert running.result(0) == "woken"
    for each in waiting:
        assert each.done()
        assert not each.cancelled()
        assert not each.cancel()
        with pytest.raises(isthmus.InterpreterError, match=f"interpreter {interp.id} was closed"):
            each.result()
        assert isinstance(each.exception(), isthmus.InterpreterError)
    with pytest.raises(isthmus.InterpreterError):
        interp.post(len, b"")
    assert go_s.interpreters == []


def test_closing_at_any_moment_ends_every_call() -> None:
    for turn in range(15):
        interp = isthmus.create()
        calls: list[isthmus.PendingCall[int]] = []
        refused = threading.Event()

        def post(
            to: isthmus.Interpreter = interp,
            calls: list[isthmus.PendingCall[int]] = calls,
            refused: threading.Event = refused,
        ) -> None:
            with contextlib.suppress(isthmus.InterpreterError):
                while True:
                    calls.append(to.post(len, b"abc"))
            refused.set()

        threads = [threading.Thread(target=post) for _ in range(2)]
        for each in threads:
            each.start()
        assert until(lambda: len(calls) > turn * 3)  # noqa: B023
        interp.close()
        for each in threads:
            each.join(PATIENCE)
        assert refused.is_set()
        for call in calls:
            assert call.wait(PATIENCE)
            with contextlib.suppress(isthmus.InterpreterError):
                assert call.result() == 3
        assert interp.closed.is_set()


def _close_one_that_waits(wait: str, **shared: object) -> None:
    """It waits by `wait` in a thread of its own, which is told that it is being closed."""
    waits = isthmus.create()
    told_r, told_s = isthmus.create_channel(None)
    waits.prepare_main(told=told_s, **shared)
    waits.exec(f"""if True:
        import isthmus, threading
        def wait():
            told.send('waits')
            try:
                {wait}
            except isthmus.InterpreterError as error:
                told.send(str(error))
        threading.Thread(target=wait).start()
    """)
    assert told_r.recv(PATIENCE) == "waits"
    waits.close()
    assert "being closed" in told_r.recv(PATIENCE)


def test_the_waiter_wakes_when_its_own_interpreter_closes(new_interp: Create) -> None:
    owner = new_interp()
    begun_r, begun_s = isthmus.create_channel(None)
    go_r, go_s = isthmus.create_channel(None)
    call = owner.post(_wait_for, begun_s, go_r)
    begun_r.recv(PATIENCE)
    _close_one_that_waits("owner.post(len, b'').result()", owner=owner)
    go_s.send(None)
    assert call.result(PATIENCE) == "went"


def test_a_pending_call_keeps_its_interpreter_open() -> None:
    call = isthmus.create().post(len, b"abc")
    assert call.result(PATIENCE) == 3
    number = call.interpreter.id
    assert number in [each.id for each in isthmus.list_all()]
    del call
    assert number not in [each.id for each in isthmus.list_all()]


def test_a_call_may_not_close_its_own_interpreter(interp: isthmus.Interpreter) -> None:
    with pytest.raises(isthmus.ExecutionFailed, match="can't close itself"):
        interp.post(lambda: __import__("isthmus").get_current().close()).result(PATIENCE)


def test_a_call_in_main_may_close_the_last_other_one() -> None:
    other = isthmus.create()
    assert isthmus.get_main().post(other.close).result(PATIENCE) is None
    assert other.closed.wait(PATIENCE)
    assert isthmus.get_main().post(len, b"ab").result(PATIENCE) == 2


# ---- closed


def test_closed_is_set_once_it_is_gone() -> None:
    interp = isthmus.create()
    closed = interp.closed
    assert interp.closed is closed
    assert not closed.is_set()
    assert not closed.wait(0.01)
    assert repr(closed) == "<isthmus.ClosedEvent not set>"
    with pytest.raises(ValueError, match="timeout"):
        closed.wait(-1)
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(closed.wait(PATIENCE))) for _ in range(4)]
    for each in threads:
        each.start()
    interp.close()
    for each in threads:
        each.join(PATIENCE)
    assert got == [True] * 4
    assert closed.is_set()
    assert closed.wait()
    assert repr(closed) == "<isthmus.ClosedEvent set>"


def test_closed_is_a_case_of_select(ends: tuple[isthmus.RecvChannel, isthmus.SendChannel]) -> None:
    r, s = ends
    interp = isthmus.create()
    closed = interp.closed
    with pytest.raises(TimeoutError):
        isthmus.select(r, closed, timeout=0.01)
    s.send(1)
    assert isthmus.select(r, closed) == (r, 1)
    got: list[object] = []
    selects = threading.Thread(target=lambda: got.append(isthmus.select(closed, r, timeout=PATIENCE)))
    selects.start()
    interp.close()
    selects.join(PATIENCE)
    assert got == [(closed, None)]
    assert isthmus.select(closed) == (closed, None)
    with pytest.raises(TypeError, match="closed"):
        isthmus.select(interp)  # type: ignore[call-overload, arg-type, unused-ignore]


def test_closed_keeps_nothing_open_and_outlives_it() -> None:
    closed = isthmus.create().closed
    assert closed.wait(PATIENCE)


def test_closed_has_a_descriptor() -> None:
    import select

    interp = isthmus.create()
    descriptor = interp.closed.fileno()
    assert select.select([descriptor], [], [], 0)[0] == []
    interp.close()
    assert select.select([interp.closed], [], [], PATIENCE)[0] == [interp.closed]


def test_closed_crosses(interp: isthmus.Interpreter) -> None:
    dies = isthmus.create()
    r, s = isthmus.create_channel(None)
    s.send(dies.closed)
    back = r.recv()
    assert back == dies.closed
    assert hash(back) == hash(dies.closed)
    assert back != interp.closed
    waits = interp.post(lambda event, patience: event.wait(patience), dies.closed, PATIENCE)
    assert not waits.wait(0.02)
    dies.close()
    assert waits.result(PATIENCE) is True
    assert back.is_set()


def test_closed_of_one_that_the_standard_library_ends() -> None:
    _interpreters = pytest.importorskip("_interpreters")
    number = _interpreters.create()
    interp = isthmus.Interpreter(number)
    closed = interp.closed
    got: list[bool] = []
    waits = threading.Thread(target=lambda: got.append(closed.wait(PATIENCE)))
    waits.start()
    _interpreters.destroy(number)
    waits.join(PATIENCE)
    assert got == [True]
    assert closed.is_set()


def test_waiting_for_closed_ends_with_the_waiter(interp: isthmus.Interpreter) -> None:
    _close_one_that_waits("other.closed.wait()", other=interp)


# ---- signals, exit, fork


@pytest.mark.parametrize("what", ["result", "closed"])
def test_ctrl_c_ends_a_wait(what: str) -> None:
    source = textwrap.dedent(f"""
        import isthmus, sys, time
        interp = isthmus.create()
        r, s = isthmus.create_channel(None)
        def wait(r): r.recv()
        call = interp.post(wait, r)
        print("ready", flush=True)
        try:
            call.result() if {what!r} == "result" else interp.closed.wait()
        except KeyboardInterrupt:
            s.send(None)
            call.result()
            print("interrupted", flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    stat = f"/proc/{process.pid}/stat"

    def asleep() -> bool:
        with open(stat) as file:
            return file.read().rpartition(")")[2].split()[0] == "S"

    assert until(asleep)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert out == "interrupted\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    "case", ["endless", "endless_in_main", "blocked", "swallows", "many_waiting", "dropped", "of_others"]
)
def test_exit_with_posted_calls(case: str) -> None:
    done = run_script("posting", case)
    assert done.stdout == "ready\n"
    # CPython speaks of those that the standard library made, from 3.15 on.
    ours = [line for line in done.stderr.splitlines() if "remaining subinterpreters" not in line]
    assert ours == []
    assert case == "of_others" or done.stderr == ""


def test_exit_with_a_posted_call_in_c_code() -> None:
    done = run_script("posting", "in_c_code", status=1)
    assert done.stdout == "ready\n"
    assert "still runs at exit" in done.stderr


@pytest.mark.parametrize("case", ["fork", "fork_inside", "fork_later"])
def test_forks(case: str) -> None:
    run_script("posting", case)

"""Posted calls that do not end by themselves: `interrupt` ends them, and the wait of `close` can be ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import isthmus
from _subprocess import run_script
from conftest import PATIENCE, Running, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def _spin(begun: isthmus.SendChannel) -> None:
    begun.send(None)
    while True:
        pass


def _count(to: int) -> int:
    for _ in range(to):
        pass
    return to


def _receive(begun: isthmus.SendChannel, never: isthmus.RecvChannel) -> Any:
    begun.send(None)
    return never.recv()


@pytest.fixture
def begin(ends: tuple[isthmus.RecvChannel, isthmus.SendChannel]) -> Callable[..., isthmus.PendingCall[Any]]:
    """Post a call, and return when it runs."""

    def post(to: isthmus.Interpreter, body: Callable[..., Any], *more: Any) -> isthmus.PendingCall[Any]:
        call = to.post(body, ends[1], *more)
        ends[0].recv(PATIENCE)
        return call

    return post


Begin = Callable[..., isthmus.PendingCall[Any]]


def failure(call: isthmus.PendingCall[Any]) -> str:
    """The name of what it raised."""
    with pytest.raises(isthmus.ExecutionFailed) as caught:
        call.result(PATIENCE)
    return caught.value.excinfo.type.__name__


# ---- interrupt


def test_it_ends_an_endless_call_and_no_later_one(interp: isthmus.Interpreter, begin: Begin) -> None:
    call = begin(interp, _spin)
    later = [interp.post(sum, range(100_000)) for _ in range(20)]
    assert interp.interrupt(BufferError)
    assert failure(call) == "BufferError"
    assert {each.result(PATIENCE) for each in later} == {sum(range(100_000))}
    assert not interp.interrupt()


def test_it_ends_a_wait_in_isthmus(interp: isthmus.Interpreter, begin: Begin) -> None:
    r, s = isthmus.create_channel()
    for _ in range(20):
        call = begin(interp, _receive, r)
        assert interp.interrupt(BufferError)
        assert failure(call) == "BufferError"
    s.close(), r.close()


def test_a_run_comes_first(interp: isthmus.Interpreter, begin: Begin, spawn: Spawn) -> None:
    r, s = isthmus.create_channel()
    call = begin(interp, _receive, r)
    run_r, run_s = isthmus.create_channel(None)
    run = spawn(interp, "begun.send(1)\nwhile True: pass", begun=run_s)
    run_r.recv(PATIENCE)
    assert interp.interrupt(BufferError)
    with pytest.raises(BufferError):
        run.join()
    assert call.running()
    s.send("went")
    assert call.result(PATIENCE) == "went"
    for each in (r, s, run_r, run_s):
        each.close()


def test_a_call_may_interrupt_itself(interp: isthmus.Interpreter) -> None:
    def ask() -> None:
        import isthmus

        isthmus.get_current().interrupt(BufferError)
        while True:
            pass

    assert failure(interp.post(ask)) == "BufferError"


def test_a_call_in_the_main_interpreter(begin: Begin) -> None:
    main = isthmus.get_main()
    call = begin(main, _spin)
    assert main.interrupt(BufferError)
    assert failure(call) == "BufferError"
    assert not main.interrupt(BufferError)


CLASSES = [ValueError, KeyError, OSError, IndexError, BufferError, KeyboardInterrupt, EOFError, ImportError]


def test_storms_hit_the_call_they_were_aimed_at(interp: isthmus.Interpreter) -> None:
    """Each call is aimed at with a class of its own by two threads that see which one it is."""
    aim = threading.Lock()
    current: list[type[BaseException] | None] = [None]
    over = threading.Event()

    def storm() -> None:
        while not over.is_set():
            with aim:
                if current[0] is not None:
                    interp.interrupt(current[0])

    # What that imports is there: an import that is hit ends with an exception of its own.
    assert interp.post(_count, 3).result(PATIENCE) == 3
    threads = [threading.Thread(target=storm) for _ in range(2)]
    for thread in threads:
        thread.start()
    outcomes = {"normal": 0, "hit": 0}
    try:
        for i in range(400):
            expected = CLASSES[i % len(CLASSES)]
            with aim:
                current[0] = expected
                call = interp.post(_count, 300_000 if i % 20 == 0 else i % 100)
            found = call.exception(PATIENCE)
            with aim:
                current[0] = None
            outcomes["normal" if found is None else "hit"] += 1
            if found is not None:
                assert isinstance(found, isthmus.ExecutionFailed)
                assert found.excinfo.type.__name__ == expected.__name__, found.excinfo.errdisplay
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert outcomes["hit"] > 0
    assert interp.post(_count, 300_000).result(PATIENCE) == 300_000


# ---- close


def test_close_waits_until_the_call_is_interrupted(begin: Begin) -> None:
    interp = isthmus.create()
    call = begin(interp, _spin)
    waiting = interp.post(len, b"abc")
    closing = threading.Thread(target=interp.close)
    closing.start()
    assert until(lambda: refuses(interp))
    assert not interp.closed.is_set()
    interp.close()  # somebody is about it: nothing to do
    assert not interp.closed.is_set()
    assert interp.interrupt()
    closing.join(PATIENCE)
    assert interp.closed.is_set()
    assert failure(call) == "KeyboardInterrupt"
    with pytest.raises(isthmus.InterpreterError, match="was closed"):
        waiting.result(0)


def refuses(interp: isthmus.Interpreter) -> bool:
    try:
        return interp.post(len, b"").cancel() and False
    except isthmus.InterpreterError:
        return True


def test_interrupting_the_run_that_closes(interp: isthmus.Interpreter, begin: Begin, spawn: Spawn) -> None:
    busy = isthmus.create()
    call = begin(busy, _spin)
    run = spawn(interp, "busy.close()", busy=busy)
    assert until(lambda: refuses(busy))
    assert interp.interrupt(BufferError)
    with pytest.raises(BufferError):
        run.join()
    assert call.running()
    assert not busy.closed.is_set()
    assert busy.interrupt()
    busy.close()
    assert busy.closed.is_set()


def test_a_closer_that_is_closed_itself(begin: Begin) -> None:
    busy, closer = isthmus.create(), isthmus.create()
    told_r, told_s = isthmus.create_channel(None)
    call = begin(busy, _spin)
    closer.prepare_main(busy=busy, told=told_s)
    closer.exec("""if True:
        import isthmus, threading
        def close():
            try:
                busy.close()
            except isthmus.InterpreterError as error:
                told.send(str(error))
        threading.Thread(target=close).start()
    """)
    assert until(lambda: refuses(busy))
    closer.close()
    assert told_r.recv(PATIENCE) == "this interpreter is being closed"
    assert call.running()
    busy.interrupt()
    busy.close()
    assert busy.closed.is_set()


def test_two_that_close_each_other_in_posted_calls(begin: Begin) -> None:
    """Each waits for the other's call; the later one tells the earlier one that it is being closed."""
    one, two = isthmus.create(), isthmus.create()
    go_r, go_s = isthmus.create_channel(None)

    def close(begun: isthmus.SendChannel, go: isthmus.RecvChannel, other: isthmus.Interpreter) -> None:
        begun.send(None)
        go.recv()
        other.close()

    calls = [begin(one, close, go_r, two), begin(two, close, go_r, one)]
    go_s.send(None), go_s.send(None)
    outcomes = [each.exception(PATIENCE) for each in calls]
    assert any(isinstance(each, isthmus.ExecutionFailed) for each in outcomes)
    one.close()
    two.close()
    assert one.closed.wait(PATIENCE)
    assert two.closed.wait(PATIENCE)


def test_a_thread_that_the_call_leaves_behind_holds_up_the_close(begin: Begin) -> None:
    interp = isthmus.create()
    never_r, never_s = isthmus.create_channel(None)
    read_end, write_end = os.pipe()

    def leave(begun: isthmus.SendChannel, never: isthmus.RecvChannel, read_end: int) -> None:
        import _thread
        import os

        import isthmus

        begun.send(None)
        try:
            never.recv()
        except isthmus.InterpreterError:  # the close has begun
            _thread.start_new_thread(os.read, (read_end, 1))

    call = begin(interp, leave, never_r, read_end)
    for _ in range(2):
        with pytest.raises(isthmus.InterpreterError, match="threads"):
            interp.close()
        assert call.result(0) is None
        assert not interp.closed.is_set()
    os.write(write_end, b"x")
    interp.close()
    assert interp.closed.is_set()
    os.close(read_end), os.close(write_end)
    never_r.close(), never_s.close()


# ---- Ctrl-C, exit


def _sigint_as_in_a_terminal() -> None:
    """A background job of a shell without job control ignores SIGINT, and its children do."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


run_script = partial(run_script, limit=_sigint_as_in_a_terminal)


def test_ctrl_c_ends_the_wait_and_a_later_close_goes_on() -> None:
    assert run_script("closing_calls", "goes_on").stdout == "interrupted\ninterrupted again\n"


def test_after_ctrl_c_it_is_closed_at_exit() -> None:
    done = run_script("closing_calls", "at_exit")
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_ctrl_c_while_the_last_reference_closes_it() -> None:
    done = run_script("closing_calls", "last_reference")
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_a_handler_that_raises_nothing_ends_no_wait() -> None:
    assert run_script("closing_calls", "handlers").stdout == "went on\n"

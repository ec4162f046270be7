"""How channels end: closing, the association rules of PEP 554, and interpreters that die."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import isthmus
from conftest import PATIENCE, Running

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def test_iteration_ends_when_the_senders_are_gone(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel(2)
    spawn(interp, "with s:\n    for i in range(10):\n        s.send(i)", s=s)
    s.close()
    assert list(r) == list(range(10))
    with pytest.raises(EOFError):
        r.recv()
    assert next(r, "over") == "over"


def test_context_managers_close() -> None:
    r, s = isthmus.create_channel(1)
    with r as entered_r, s as entered_s:
        assert (entered_r, entered_s) == (r, s)
        s.send(1)
        assert r.recv() == 1
        assert not r.is_closed
        assert not s.is_closed
    assert r.is_closed
    assert s.is_closed


def test_close_returns_true_the_first_time() -> None:
    r, s = isthmus.create_channel(1)
    assert [s.close(), s.close()] == [True, False]
    assert [r.close(), r.close()] == [True, False]


def test_after_its_own_close_an_end_refuses_with_value_error(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    interp.prepare_main(r=r, s=s)
    s.close()
    with pytest.raises(ValueError, match="closed"):
        s.send(1)
    with pytest.raises(ValueError, match="closed"):
        s.send_nowait(1)
    interp.run("s.send(2)")  # the other interpreter has closed nothing
    assert r.recv(PATIENCE) == 2
    r.close()
    actions: list[Callable[[], object]] = [r.recv, r.recv_nowait, lambda: next(r)]
    for action in actions:
        with pytest.raises(ValueError, match="closed"):
            action()


def test_a_closed_end_forbids_a_new_association_through_a_new_object() -> None:
    r, s = isthmus.create_channel(1)
    s.close()
    with pytest.raises(ValueError, match="closed"):
        isthmus.SendChannel(s.id).send(1)
    with pytest.raises(EOFError):
        r.recv()


def test_recv_drains_what_is_buffered_then_ends(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    interp.run("s.send(1)\ns.send(2)\ns.close()", s=s)
    s.close()
    assert [r.recv(), r.recv_nowait()] == [1, 2]
    actions: list[Callable[[], object]] = [r.recv, r.recv_nowait, lambda: r.recv(timeout=0)]
    for action in actions:
        with pytest.raises(EOFError):
            action()


def test_send_ends_when_the_receivers_are_gone(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    s.send(1)
    interp.run("assert r.recv() == 1\nr.close()", r=r)
    r.close()
    for action in (s.send, s.send_nowait):
        with pytest.raises(EOFError):
            action(2)


def test_no_end_while_another_interpreter_holds_an_open_one(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(1)
    interp.prepare_main(s=s)
    s.send(0)
    s.close()
    assert r.recv() == 0
    with pytest.raises(TimeoutError):
        r.recv(timeout=0)
    interp.run("s.send(1)")
    assert r.recv() == 1
    interp.run("s.close()")
    with pytest.raises(EOFError):
        r.recv()


def test_an_end_in_flight_counts(interp: isthmus.Interpreter) -> None:
    carrier_r, carrier_s = isthmus.create_channel(1)
    r, s = isthmus.create_channel(1)
    carrier_s.send(s)
    s.send(0)
    s.close()
    assert r.recv() == 0
    with pytest.raises(TimeoutError):
        r.recv(timeout=0)
    interp.run("carrier.recv().send(1)", carrier=carrier_r)
    assert r.recv(PATIENCE) == 1


def test_losing_the_last_reference_only_drops_the_association(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(1)
    interp.run("s.send(1)\ndel s", s=s)
    assert r.recv() == 1
    with pytest.raises(TimeoutError):
        r.recv(timeout=0)
    s.send(2)
    assert r.recv() == 2


@pytest.mark.parametrize("buffered", [0, 1])
def test_a_sender_that_dies_wakes_the_receiver(
    interp: isthmus.Interpreter, new_interp: Create, spawn: Spawn, buffered: int
) -> None:
    r, s = isthmus.create_channel(1)
    log_r, log_s = isthmus.create_channel(None)
    interp.run("s.send('association')", s=s)
    assert r.recv() == "association"
    source = """
    if isthmus_buffered:
        log.send(r.recv())
    log.send('waits')
    try:
        r.recv()
    except EOFError:
        log.send('end')
    """
    if buffered:
        interp.run("s.send('left behind')")
    del s
    waiting = spawn(new_interp(), source, r=r, log=log_s, isthmus_buffered=buffered)
    if buffered:
        assert log_r.recv(PATIENCE) == "left behind"
    assert log_r.recv(PATIENCE) == "waits"
    waiting.until_asleep()
    interp.close()
    assert log_r.recv(PATIENCE) == "end"


def test_what_a_dead_sender_had_buffered_is_delivered(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    interp.run("s.send(1)\ns.send(payload)", s=s, payload=bytes(100_000))
    del s
    interp.close()
    assert list(r) == [1, bytes(100_000)]


def test_a_receiver_that_dies_wakes_the_sender(
    interp: isthmus.Interpreter, new_interp: Create, spawn: Spawn
) -> None:
    r, s = isthmus.create_channel()
    log_r, log_s = isthmus.create_channel(None)
    interp.run("assert r.recv_nowait() is None", r=r)
    del r
    source = """
    log.send('waits')
    try:
        s.send(bytes(100_000))
    except EOFError:
        log.send('end')
    """
    waiting = spawn(new_interp(), source, s=s, log=log_s)
    assert log_r.recv(PATIENCE) == "waits"
    waiting.until_asleep()
    interp.close()
    assert log_r.recv(PATIENCE) == "end"


def test_closing_an_end_wakes_this_interpreters_other_threads() -> None:
    r, s = isthmus.create_channel()
    failures: list[BaseException] = []
    at_work = threading.Event()

    def wait() -> None:
        try:
            at_work.set()
            r.recv(timeout=PATIENCE)
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=wait)
    thread.start()
    at_work.wait(PATIENCE)
    r.close()
    thread.join(PATIENCE)
    assert [type(each) for each in failures] == [ValueError]
    with pytest.raises(EOFError):
        s.send(1)

"""Channels: capacities, timeouts, ends on their way, bad arguments, Ctrl-C."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isthmus
from conftest import PATIENCE, Running, run_script, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def test_a_rendezvous_ends_when_the_object_was_received(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel()
    log_r, log_s = isthmus.create_channel(None)
    running = spawn(interp, "log.send('before')\ns.send('x')\nlog.send('after')", s=s, log=log_s)
    assert log_r.recv(PATIENCE) == "before"
    running.until_asleep()
    assert log_r.recv_nowait("nothing") == "nothing"
    assert r.recv(PATIENCE) == "x"
    assert log_r.recv(PATIENCE) == "after"


def test_a_bounded_channel_waits_only_when_full(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel(capacity=2)
    log_r, log_s = isthmus.create_channel(None)
    running = spawn(interp, "for i in range(3):\n    s.send(i)\n    log.send(i)", s=s, log=log_s)
    assert (log_r.recv(PATIENCE), log_r.recv(PATIENCE)) == (0, 1)
    running.until_asleep()
    assert log_r.recv_nowait() is None
    assert not s.send_nowait("no room")
    assert r.recv() == 0
    assert log_r.recv(PATIENCE) == 2
    assert [r.recv(), r.recv()] == [1, 2]


def test_an_unbounded_channel_never_waits_and_keeps_the_order() -> None:
    r, s = isthmus.create_channel(None)
    for i in range(10_000):
        s.send(i)
    assert [r.recv() for _ in range(10_000)] == list(range(10_000))
    assert r.recv_nowait() is None


def test_many_senders_many_receivers(new_interp: Create, spawn: Spawn) -> None:
    work, result = isthmus.create_channel(3), isthmus.create_channel(None)
    for _ in range(2):
        spawn(
            new_interp(),
            "for item in work:\n    result.send(item)\nresult.send(None)",
            work=work[0],
            result=result[1],
        )
    senders = [
        spawn(new_interp(), "with s:\n    for i in range(1000):\n        s.send((me, i))", s=work[1], me=me)
        for me in (1, 2)
    ]
    for each in senders:
        each.join()
    work[1].close()
    got, ended = [], 0
    while ended < 2:
        item = result[0].recv(PATIENCE)
        ended += item is None
        got += [item] if item else []
    assert sorted(got) == [(me, i) for me in (1, 2) for i in range(1000)]


@pytest.mark.parametrize("capacity", [0, 1, None])
def test_recv_times_out(capacity: int | None) -> None:
    r, s = isthmus.create_channel(capacity)
    for timeout in (0, 0.0, 0.02):
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            r.recv(timeout=timeout)
        assert time.monotonic() - start >= timeout
    assert not s.is_closed


@pytest.mark.parametrize("capacity", [0, 1])
def test_what_a_timed_out_send_offered_is_not_received(capacity: int) -> None:
    r, s = isthmus.create_channel(capacity)
    if capacity:
        s.send("fits")
    for timeout in (0, 0.02):
        with pytest.raises(TimeoutError):
            s.send("late", timeout=timeout)
    if capacity:
        assert r.recv() == "fits"
    assert r.recv_nowait("nothing") == "nothing"


def test_recv_nowait_and_send_nowait(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel()
    assert r.recv_nowait() is None
    assert r.recv_nowait(5) == 5
    assert r.recv_nowait(default=r) is r
    assert s.send_nowait(1) is False  # nobody waits to receive
    log_r, log_s = isthmus.create_channel(None)
    running = spawn(interp, "log.send(0)\nlog.send(r.recv())", r=r, log=log_s)
    log_r.recv(PATIENCE)
    running.until_asleep()
    assert s.send_nowait(2) is True
    assert log_r.recv(PATIENCE) == 2
    r1, s1 = isthmus.create_channel(1)
    assert [s1.send_nowait(i) for i in (1, 2)] == [True, False]
    assert r1.recv_nowait() == 1


def test_none_is_an_object_like_any_other() -> None:
    r, s = isthmus.create_channel(1)
    s.send(None)
    assert r.recv_nowait("default") is None


def test_a_wait_lets_other_threads_run() -> None:
    r, s = isthmus.create_channel()
    thread = threading.Thread(target=lambda: s.send("from the same interpreter"))
    thread.start()
    assert r.recv(PATIENCE) == "from the same interpreter"
    thread.join()


def test_ends_travel_over_channels_and_through_run(new_interp: Create, spawn: Spawn) -> None:
    carrier_r, carrier_s = isthmus.create_channel()
    spawn(
        new_interp(),
        """
        import isthmus
        for end in carrier:
            reply_r, reply_s = isthmus.create_channel(1)
            end.send(reply_s)
            assert reply_r.recv() == 'hello'
            end.send(('both', end, {'listed': [reply_r]}))
        """,
        carrier=carrier_r,
    )
    r, s = isthmus.create_channel()
    carrier_s.send(s)
    r.recv(PATIENCE).send("hello")
    name, again, nested = r.recv(PATIENCE)
    assert (name, again) == ("both", s)
    assert isinstance(nested["listed"][0], isthmus.RecvChannel)
    carrier_s.close()


def test_equality_hash_and_lookup_by_id() -> None:
    r, s = isthmus.create_channel()
    other, _ = isthmus.create_channel()
    assert isthmus.RecvChannel(r.id) == r
    assert isthmus.SendChannel(id=s.id) == s
    assert hash(isthmus.RecvChannel(r.id)) == hash(r)
    assert len({r, isthmus.RecvChannel(r.id), s, other}) == 3
    assert r != s
    assert r != other
    assert r.id == s.id
    assert r != r.id
    assert repr(r) == f"<RecvChannel id={r.id}>"
    assert repr(s) == f"<SendChannel id={s.id}>"


def test_ends_pickle_within_the_process() -> None:
    r, s = isthmus.create_channel(1)
    again_r, again_s = pickle.loads(pickle.dumps((r, s)))
    assert (again_r, again_s) == (r, s)
    again_s.send(1)
    assert r.recv() == 1
    data = pickle.dumps(isthmus.create_channel())
    with pytest.raises(ValueError, match="no channel"):
        pickle.loads(data)


@pytest.mark.parametrize("kind", [isthmus.RecvChannel, isthmus.SendChannel])
def test_bad_ids(kind: type[isthmus.RecvChannel]) -> None:
    r, s = isthmus.create_channel()
    for unknown in (0, -1, 2**62, 2**64 + r.id, -(2**64) + s.id):
        with pytest.raises(ValueError, match="no channel"):
            kind(unknown)
    for bad in ("1", None, 1.0):
        with pytest.raises(TypeError):
            kind(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        kind()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("capacity", "error"),
    [(-1, ValueError), ("1", TypeError), (1.5, TypeError), (2**70, OverflowError)],
)
def test_bad_capacities(capacity: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        isthmus.create_channel(capacity)


def test_bad_arguments() -> None:
    r: Any
    s: Any
    r, s = isthmus.create_channel(1)
    make: Any = isthmus.create_channel
    for timeout, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (b"", TypeError)):
        with pytest.raises(error):
            r.recv(timeout)
        with pytest.raises(error):
            s.send(1, timeout)
    wrong: list[Callable[[], object]] = [
        lambda: r.recv(1, 2),
        lambda: r.recv(wait=1),
        lambda: r.recv(1, timeout=1),
        lambda: r.recv_nowait(1, 2),
        lambda: s.send(),
        lambda: s.send(1, 2, 3),
        lambda: s.send_nowait(),
        lambda: s.close(1),
        lambda: make(1, 2),
        lambda: make(size=1),
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    assert r.recv_nowait() is None


def test_a_wait_without_limit_may_be_written_as_infinity() -> None:
    r, s = isthmus.create_channel(1)
    s.send(1, timeout=float("inf"))
    assert r.recv(timeout=float("inf")) == 1


@pytest.mark.parametrize("wait", ["r.recv()", "s.send(1)", "r.recv(timeout=60)", "next(iter(r))"])
def test_ctrl_c_ends_a_wait_of_the_main_thread(wait: str) -> None:
    source = f"""
    import isthmus
    r, s = isthmus.create_channel()
    isthmus.create().run("x = 1")
    try:
        print("waits", flush=True)
        {wait}
    except KeyboardInterrupt:
        print("interrupted", r.recv_nowait(), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        stat = Path(f"/proc/{process.pid}/stat")
        assert until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert (out, err, process.returncode) == ("interrupted None\n", "", 0)


def test_a_signal_handler_that_returns_does_not_end_the_wait() -> None:
    run_script(
        """
        import isthmus, os, signal, threading
        r, s = isthmus.create_channel()
        seen = threading.Event()
        signal.signal(signal.SIGUSR1, lambda *_: seen.set())
        def other():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert seen.wait(120), "the handler does not run while the main thread waits"
            s.send("after the handler")
        threading.Thread(target=other).start()
        assert r.recv() == "after the handler"
        """
    )

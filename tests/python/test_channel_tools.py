"""What channels have besides send and recv: batches, poison, statistics, readiness, listing, warnings."""

from __future__ import annotations

import pickle
import select
import selectors
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isthmus
from _subprocess import SANITIZED
from conftest import LARGE, PATIENCE, Running, run_script

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]
type Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]


@pytest.fixture(params=[0, 1, None], ids=["rendezvous", "one", "unbounded"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    r, s = isthmus.create_channel(request.param)
    yield r, s
    r.close()
    s.close()


@pytest.fixture
def unbounded() -> Iterator[Ends]:
    r, s = isthmus.create_channel(None)
    yield r, s
    r.close()
    s.close()


# --- many at once


def test_many(ends: Ends, interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = ends
    sender = spawn(interp, "assert s.send_many(range(1000)) == 1000\ns.close()", s=s)
    got: list[int] = []
    while len(got) < 1000:
        part = r.recv_many(64, timeout=PATIENCE)
        assert 1 <= len(part) <= 64
        got += part
    assert got == list(range(1000))
    sender.join()


def test_many_of_every_kind(unbounded: Ends) -> None:
    r, s = unbounded
    values = [None, 1, 2.5, "x", b"y" * LARGE, (1, (b"z" * LARGE,)), [1], {"a": 1}, isthmus.get_main()]
    assert s.send_many(iter(values)) == len(values)
    assert r.recv_many(100) == values
    assert s.send_many([]) == 0


def test_recv_many_takes_at_most_max_and_waits_for_the_first_only(unbounded: Ends) -> None:
    r, s = unbounded
    s.send_many(range(10))
    assert r.recv_many(3) == [0, 1, 2]
    assert r.recv_many(2**70) == list(range(3, 10))
    with pytest.raises(TimeoutError):
        r.recv_many(1, timeout=0.01)
    s.send(1)
    s.close()
    assert r.recv_many(5) == [1]
    with pytest.raises(EOFError):
        r.recv_many(5)


def test_many_bad_arguments(unbounded: Ends) -> None:
    r, s = unbounded
    for bad in (0, -1):
        with pytest.raises(ValueError, match="max"):
            r.recv_many(bad)
    with pytest.raises(TypeError):
        r.recv_many("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        r.recv_many()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        s.send_many(5)  # type: ignore[arg-type]


def test_send_many_that_fails_has_sent_what_came_before(unbounded: Ends) -> None:
    r, s = unbounded
    with pytest.raises(isthmus.NotShareableError) as caught:
        s.send_many([1, 2, threading.Lock(), 3])
    assert caught.value.sent == 2  # type: ignore[attr-defined]
    assert r.recv_many(10) == [1, 2]

    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    with pytest.raises(KeyError) as raised:
        s.send_many(broken())
    assert raised.value.sent == 1  # type: ignore[attr-defined]
    assert r.recv_many(10) == [1]


def test_send_many_times_out_with_the_rest_unsent() -> None:
    r, s = isthmus.create_channel(2)
    with pytest.raises(TimeoutError) as caught:
        s.send_many([b"x" * LARGE] * 5, timeout=0.05)
    assert caught.value.sent == 2  # type: ignore[attr-defined]
    assert len(r.recv_many(10)) == 2
    r.close()
    with pytest.raises(EOFError) as ended:
        s.send_many([1])
    assert ended.value.sent == 0  # type: ignore[attr-defined]
    s.close()


def test_send_many_keeps_nobody_waiting(unbounded: Ends, interp: isthmus.Interpreter, spawn: Spawn) -> None:
    """The iterable may wait for an answer to what it gave so far."""
    r, s = unbounded
    go_r, go_s = isthmus.create_channel()
    with go_r, go_s:
        spawn(
            interp,
            "def slow():\n    for i in range(5):\n        yield i\n        go.recv()\n"
            "s.send_many(slow()); s.close()",
            s=s,
            go=go_r,
        )
        assert r.recv(PATIENCE) == 0
        for i in range(1, 5):
            go_s.send(None, PATIENCE)
            assert r.recv(PATIENCE) == i
        go_s.send(None, PATIENCE)


class Unloadable:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise LookupError('not here')",)


def test_recv_many_loses_no_neighbour_of_what_fails(unbounded: Ends) -> None:
    r, s = unbounded
    s.send_many([1, Unloadable(), 2])
    with pytest.raises(LookupError) as caught:
        r.recv_many(10)
    assert caught.value.received == [1, 2]  # type: ignore[attr-defined]


# --- poison


def test_statistics(unbounded: Ends, interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = unbounded
    assert r.statistics() == (None, 0, 0, 0, 0, 0, 0)
    s.send_many(range(5))
    r.recv()
    now = s.statistics()
    assert isinstance(now, isthmus.ChannelStatistics)
    assert (now.capacity, now.sent, now.received, now.buffered) == (None, 5, 1, 4)
    r.recv_many(4)
    waiting = spawn(interp, "r.recv()", r=r)
    waiting.until_asleep()
    assert s.statistics().waiting_receivers == 1
    s.send(1)
    waiting.join()
    assert s.statistics().waiting_receivers == 0
    assert s.statistics().sent == s.statistics().received == 6


def test_interpreters_are_those_that_used_an_end(unbounded: Ends, interp: isthmus.Interpreter) -> None:
    r, s = unbounded
    assert r.interpreters == s.interpreters == []
    interp.run("s.send(1)", s=s)
    assert s.interpreters == [interp]
    s.send(2)
    assert set(s.interpreters) == {interp, isthmus.get_main()}
    r.recv()
    assert r.interpreters == [isthmus.get_main()]
    interp.run("s.close()")
    assert s.interpreters == [isthmus.get_main()]
    s.close()
    assert s.interpreters == []


def test_losing_the_last_reference_drops_the_association(
    unbounded: Ends, interp: isthmus.Interpreter
) -> None:
    _, s = unbounded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interp.run("import warnings; warnings.simplefilter('ignore'); s.send(1); del s", s=s)
    assert s.interpreters == []


def test_list_all_channels_lists_the_open_ones() -> None:
    before = isthmus.list_all_channels()
    r, s = isthmus.create_channel()
    assert isthmus.list_all_channels() == [*before, (r, s)]
    s.close()
    r.close()
    assert isthmus.list_all_channels() == before


@pytest.mark.parametrize("nested", [False, True])
def test_channels_that_only_hold_each_other_are_collected(nested: bool) -> None:
    before = isthmus.list_all_channels()
    shares = isthmus.stats().shares_outstanding
    r, s = isthmus.create_channel(None)
    other_r, other_s = isthmus.create_channel(None)
    if nested:
        s.send((other_r, other_s, b"x" * LARGE))
        other_s.send({"ends": [r, s], "data": b"y" * LARGE})
    else:
        s.send((r, s, b"x" * LARGE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del r, s, other_r, other_s
    assert isthmus.stats().shares_outstanding == shares
    assert isthmus.list_all_channels() == before


# --- readiness


def readable(end: Any) -> bool:
    return select.select([end], [], [], 0) == ([end], [], [])


def test_fileno_of_a_buffered_channel(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(1)
    assert (readable(r), readable(s)) == (False, True)
    interp.run("s.send(1)", s=s)
    assert (readable(r), readable(s)) == (True, False)
    assert r.fileno() == r.fileno() != s.fileno()
    r.recv()
    assert (readable(r), readable(s)) == (False, True)
    interp.run("s.close()")
    s.close()
    assert readable(r)
    with pytest.raises(ValueError, match="closed"):
        s.fileno()
    r.close()


def test_fileno_of_a_rendezvous(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel()
    sender = spawn(interp, "s.send(1)\ns.close()", s=s)
    assert select.select([r], [], [], PATIENCE)[0] == [r]
    assert r.recv() == 1
    sender.join()
    s.close()
    r.close()


def test_fileno_in_an_event_loop(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    ends = [isthmus.create_channel(1) for _ in range(3)]
    with selectors.DefaultSelector() as selector:
        for r, _ in ends:
            selector.register(r, selectors.EVENT_READ)
        spawn(
            interp,
            "for i in range(30): all[i % 3].send(i)\nfor s in all: s.close()",
            all=tuple(s for _, s in ends),
        )
        for _, s in ends:
            s.close()
        got: list[int] = []
        while selector.get_map():
            for key, _ in selector.select(PATIENCE):
                try:
                    got.append(key.fileobj.recv_nowait(-1))  # type: ignore[union-attr]
                except EOFError:  # the senders are gone: that is readiness, too
                    selector.unregister(key.fileobj)
    assert sorted(got) == list(range(30))
    for r, s in ends:
        r.close()
        s.close()


@pytest.mark.skipif(SANITIZED, reason="UBSan looks at objects through a pipe: without one all are bad")
def test_fileno_without_descriptors() -> None:
    run_script("""
        import os, resource, isthmus
        r, s = isthmus.create_channel(1)
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used - 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            r.fileno()
        except OSError as error:
            assert error.errno == 24, error
        else:
            raise SystemExit("no error")
        s.send(1)
        assert r.recv() == 1
    """)


def test_descriptors_are_closed_with_their_end() -> None:
    run_script("""
        import os, isthmus
        r, s = isthmus.create_channel(1)
        start = sorted(os.listdir("/proc/self/fd"))
        for _ in range(100):
            r, s = isthmus.create_channel(1)
            r.fileno(), s.fileno()
        del r, s
        r, s = isthmus.create_channel(1)
        assert sorted(os.listdir("/proc/self/fd")) == start
    """)


# --- warnings


def test_an_end_in_use_that_nobody_closed_is_warned_about() -> None:
    r, s = isthmus.create_channel(1)
    s.send(1)
    with pytest.warns(ResourceWarning, match="unclosed <SendChannel"):
        del s
    assert r.recv() == 1
    with pytest.warns(ResourceWarning, match="unclosed <RecvChannel"):
        del r


def test_no_warning_for_ends_closed_unused_or_over() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r, s = isthmus.create_channel(1)
        del r, s
        r, s = isthmus.create_channel(1)
        s.send(1)
        also = isthmus.SendChannel(s.id)
        del also  # not the last one
        s.close()
        assert list(r) == [1]
        del r, s  # the senders are gone: there was nothing left to close


def test_ends_pickle_to_themselves(ends: Ends) -> None:
    assert pickle.loads(pickle.dumps(ends)) == ends

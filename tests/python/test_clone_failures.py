"""What fails half-way leaves nothing behind: every gauge is where it was, counters balance.

The check itself is `nothing_left_behind` in conftest.py, which wraps every test, and what a test adds to it.
"""

from __future__ import annotations

import importlib.util
import mmap
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _exporters import Exporter
from _sample_types import Explodes, Refuses
from _subprocess import FULL, SANITIZED, run_script
from conftest import LARGE, PATIENCE, gauges, settle, until

MIB = 1024 * 1024
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator is not CPython's")
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="needs _testcapi")
@pytest.mark.parametrize("how", ["one", "all"])
@pytest.mark.parametrize("kind", ["nested", "objects", "payloads", "exception", "function"])
def test_no_memory_at_each_allocation(kind: str, how: str) -> None:
    run_script("no_memory", "trial", kind, how)


class Calls:
    """Calls a function when it is taken apart; arrives as 0."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action

    def __reduce__(self) -> Any:
        self.action()
        return int, ()


def rich(exporter: Any) -> list[Any]:
    """Something of all that has a gauge, or a count of its own."""
    r, s = isthmus.create_channel(1)
    return [
        b"b" * LARGE,
        {"text": "é" * LARGE, "views": [memoryview(exporter), memoryview(exporter)[5:9]]},
        (r, s),
        isthmus.SharedBuffer(8192),
        isthmus.create_queue(),
        isthmus.share(b"s" * LARGE),
    ]


@pytest.mark.parametrize("bad", [Refuses, lambda: sys, threading.Lock, lambda: [{"deep": (sys,)}]])
@pytest.mark.parametrize("times", [1, 20])
def test_a_part_that_can_not_cross_comes_last(ends: Ends, bad: Callable[[], Any], times: int) -> None:
    exporter = Exporter(LARGE)
    value = [*rich(exporter), bad()]
    views = len(exporter.released)
    references = [sys.getrefcount(each) for each in value]
    before = gauges()
    for _ in range(times):
        for send in (ends[1].send, ends[1].send_nowait, lambda v: ends[1].send_many([v])):
            with pytest.raises((isthmus.NotShareableError, ZeroDivisionError)):
                send(value)
    assert not settle(before)
    assert [sys.getrefcount(each) for each in value] == references
    assert ends[0].recv_nowait("nothing") == "nothing"
    value.clear()
    assert until(lambda: len(exporter.released) > views), "the exporter is still held"


def test_a_value_that_fails_on_arrival(ends: Ends) -> None:
    exporter = Exporter(LARGE)
    value = [*rich(exporter), Explodes()]
    references = [sys.getrefcount(each) for each in value]
    before = gauges()
    for _ in range(20):
        ends[1].send(value)
        with pytest.raises(ZeroDivisionError, match="on arrival"):
            ends[0].recv()
    assert not settle(before)
    assert [sys.getrefcount(each) for each in value] == references


@pytest.mark.parametrize("which", [0, 1])
def test_the_channel_closes_while_a_value_is_taken_apart(which: int) -> None:
    ends = isthmus.create_channel(None)
    exporter = Exporter(LARGE)
    value = [*rich(exporter), Calls(lambda: ends[which].close()), "more" * LARGE]
    before = gauges()
    with pytest.raises((EOFError, ValueError)):
        ends[1].send(value)
    assert not settle(before)


def test_a_channel_that_is_poisoned_while_a_value_is_taken_apart() -> None:
    r, s = isthmus.create_channel(None)
    value = [b"b" * LARGE, Calls(lambda: s.poison(KeyError("poison"))), "t" * LARGE]
    before = gauges()
    with pytest.raises(KeyError, match="poison"):
        s.send(value)
    assert not settle(before)
    with pytest.raises(KeyError, match="poison"):
        r.recv()


@pytest.mark.parametrize("capacity", [0, 1])
def test_a_send_that_times_out(capacity: int) -> None:
    r, s = isthmus.create_channel(capacity)
    for n in range(capacity):
        s.send(n)
    value = rich(Exporter(LARGE))
    before = gauges()
    for timeout in (0, 0.001, 0.01):
        with pytest.raises(TimeoutError):
            s.send(value, timeout=timeout)
        assert not s.send_nowait(value)
    assert not settle(before)
    for n in range(capacity):
        assert r.recv() == n
    assert r.recv_nowait("nothing") == "nothing"


def test_an_interpreter_ends_with_messages_nobody_received(
    new_interp: Callable[..., isthmus.Interpreter],
) -> None:
    other = new_interp()
    r, s = isthmus.create_channel(None)
    exporter = Exporter(LARGE)
    value = rich(exporter)
    before = gauges()
    other.prepare_main(r=r)
    other.run("assert r.recv_nowait('nothing') == 'nothing'")
    for _ in range(5):
        s.send(value)
    r.close()
    other.close()
    before["interpreters"] = [i for i in before["interpreters"] if i != other.id]  # type: ignore[attr-defined]
    assert not settle(before)
    with pytest.raises(EOFError):
        s.send(value)
    assert not settle(before)


STOPS = """
import sys, types
module = types.ModuleType("stops_on_arrival")
exec('''
class Stops:
    def __setstate__(self, state):
        import isthmus
        r, told = state
        told.send("arriving")
        r.recv()
''', module.__dict__)
sys.modules["stops_on_arrival"] = module
module.Stops.__module__ = "stops_on_arrival"
"""


def test_the_receiver_is_closed_while_a_value_arrives(
    new_interp: Callable[..., isthmus.Interpreter],
) -> None:
    """A thread of its own waits in code of the user's, in the midst of the value; to close it ends that."""
    exec(STOPS, {})
    stops = sys.modules["stops_on_arrival"].Stops()
    other = new_interp()
    never, told, ends = (isthmus.create_channel(None) for _ in range(3))
    type(stops).__getstate__ = lambda self: (never[0], told[1])
    value = [*rich(Exporter(LARGE)), stops, "more" * LARGE]
    before = gauges()
    other.run(STOPS)
    other.run(
        """if True:
        import isthmus, threading
        def receive():
            try:
                r.recv()
            except isthmus.InterpreterError:
                pass
        threading.Thread(target=receive).start()
        """,
        r=ends[0],
        told=told[1],
    )
    ends[1].send(value)
    assert told[0].recv(timeout=PATIENCE) == "arriving"
    other.close()
    before["interpreters"] = [i for i in before["interpreters"] if i != other.id]  # type: ignore[attr-defined]
    assert not settle(before)
    del sys.modules["stops_on_arrival"]


# ---- sizes


def test_a_list_of_large_bytes_crosses_without_a_copy(
    new_interp: Callable[..., isthmus.Interpreter], ends: Ends
) -> None:
    """1,000 of 1 MiB with ISTHMUS_TEST_FULL=1."""
    count = 1000 if FULL else 200
    other = new_interp()
    value = [bytes([n % 251]) * MIB for n in range(count)]
    copied = isthmus.stats().payload_bytes_copied
    made = isthmus.stats().twins_made
    ends[1].send(value)
    other.run(
        """if True:
        value = r.recv()
        assert [(type(x), len(x), x[0], x[-1]) for x in value] == [
            (bytes, 1 << 20, n % 251, n % 251) for n in range(count)
        ]
        """,
        r=ends[0],
        count=count,
    )
    after = isthmus.stats()
    assert after.payload_bytes_copied == copied
    assert after.twins_made == made + count
    other.run("del value")


@pytest.mark.skipif(SANITIZED, reason="so large a mapping is not for a sanitizer")
def test_a_gigabyte_of_mapped_memory_crosses_as_a_view(
    new_interp: Callable[..., isthmus.Interpreter], ends: Ends
) -> None:
    other = new_interp()
    memory = mmap.mmap(-1, 1024 * MIB)
    memory[-1] = 7
    copied, views = isthmus.stats().payload_bytes_copied, isthmus.stats().views_live
    ends[1].send_buffer(memory)
    ends[1].send(["in a list", memory])
    other.run(
        """if True:
        views = [r.recv(), r.recv()[1]]
        assert [(len(v), v[-1]) for v in views] == [(1 << 30, 7)] * 2
        views[0][0] = 9
        """,
        r=ends[0],
    )
    assert memory[0] == 9
    assert isthmus.stats().payload_bytes_copied == copied
    assert isthmus.stats().views_live == views + 2
    with pytest.raises(BufferError):
        memory.close()
    other.run("del views")
    assert until(lambda: isthmus.stats().views_live == views)
    memory.close()


def test_arrays_of_numpy(ends: Ends) -> None:
    """As views, by `send_buffer`, and inside a list: as pickle has them, with their memory out of band."""
    numpy = pytest.importorskip("numpy")
    value = numpy.arange(100_000, dtype="f8").reshape(100, 1000)
    copied, views = isthmus.stats().payload_bytes_copied, isthmus.stats().views_live
    ends[1].send_buffer(value)
    view = numpy.asarray(ends[0].recv())
    view[5, 5] = -1
    assert value[5, 5] == -1
    ends[1].send(["first", value, value])
    got = ends[0].recv()
    assert type(got[1]) is numpy.ndarray
    assert got[1] is got[2]
    assert (got[1].dtype, got[1].shape) == (value.dtype, value.shape)
    assert numpy.array_equal(got[1], value)
    got[1][0, 0] = -2
    assert value[0, 0] == -2, "its memory is the same"
    assert isthmus.stats().payload_bytes_copied == copied
    assert isthmus.stats().views_live == views + 2

"""What passes values on, with each `operator new` failing once: see failing.py."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from common import PATIENCE, command, eventually, joined, run_in_thread
from failing import OLD, by_code, trial, undisturbed

import isthmus

sys.path.insert(0, __file__.rpartition("/scripts/")[0])
import contextlib

import _graph_types as t


def containers() -> Any:
    inner: list[Any] = [1, 2.5, "text", b"bytes", (1, (2, "é€")), {"key": {3, "four"}}, frozenset({5})]
    inner += [inner, slice(1, inner), range(10**20), 1 << 200, bytearray(500)]
    return [inner, {"again": inner, (1, 2): [[[[inner]]]]}, [[n] for n in range(100)]]


def objects() -> Any:
    plain = t.Plain(1)
    plain.ring = [plain]  # type: ignore[attr-defined]
    return [plain, t.Record(1, "x"), t.FrozenSlottedRecord(1, [2]), t.Pair(1, "y"), t.Color.GREEN]


def payloads() -> Any:
    made = [b"b" * 100_000, "é" * 100_000, OLD]
    return [made, tuple(made), memoryview(bytearray(b"view" * 20_000))[3:70_000], isthmus.SharedBuffer(8192)]


def handles() -> Any:
    r, s = isthmus.create_channel(1)
    s.send([1, r])  # in a circle
    near, far = socket.socketpair()
    far.close()
    return [r, s, isthmus.create_queue(), isthmus.get_main(), isthmus.get_main().closed, near]


def exception() -> Any:
    failure = t.Failure("why", [1])
    failure.__cause__ = OSError(2, "text", "file")
    return [b"b" * 100_000, failure]


def function() -> Any:
    return {"large": "t" * 100_000, "f": by_code}


VALUES = (containers, objects, payloads, handles, exception, function)


def shape(value: Any) -> str:
    parts = value.values() if isinstance(value, dict) else value
    return repr([type(each) for each in parts])


def sending(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    """What could not be sent is not there, what could is whole."""
    for make in VALUES:

        def both(make: Callable[[], Any] = make) -> None:
            r, s = isthmus.create_channel(None)
            value = make()
            try:
                s.send(value)
            except MemoryError:
                assert r.recv_nowait("nothing") == "nothing"
                raise
            assert shape(r.recv()) == shape(value)
            assert r.recv_nowait("nothing") == "nothing"

        both.__name__ = f"sending_{make.__name__}"
        yield both


def in_bulk() -> None:
    r, s = isthmus.create_channel(None)
    values = [[n, b"x" * 100] for n in range(80)]
    arrived: list[Any] = []
    try:
        assert s.send_many(values) == len(values)
    except MemoryError as error:
        there = error.sent  # type: ignore[attr-defined]
        while (one := r.recv_nowait()) is not None:
            arrived.append(one)
        assert arrived == values[:there], (there, len(arrived))
        raise
    try:
        while len(arrived) < len(values):
            arrived += r.recv_many(50)
    except MemoryError as error:
        arrived += error.received  # type: ignore[attr-defined]
        while (one := r.recv_nowait()) is not None:
            arrived.append(one)
        assert len(arrived) >= len(values) - 1, len(arrived)
        assert all(each in values for each in arrived)
        raise
    assert arrived == values


def bulk(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    yield in_bulk


def waiting(other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    """Waits that end by a timeout: nobody is left parked."""
    r, s = isthmus.create_channel()
    other_r, _ = isthmus.create_channel()
    full = isthmus.create_queue(1)
    full.put(0)
    empty = isthmus.create_queue()
    value = [[1, 2], "x" * 200]

    def unparked(end: isthmus.RecvChannel) -> None:
        seen = end.statistics()
        assert seen.waiting_receivers == seen.waiting_senders == seen.buffered == 0, seen

    def receive() -> None:
        try:
            r.recv(timeout=0.001)
        except TimeoutError:
            pass
        finally:
            unparked(r)

    def send() -> None:
        try:
            s.send(value, timeout=0.001)
        except TimeoutError:
            pass
        finally:
            unparked(r)

    def put() -> None:
        try:
            full.put(value, timeout=0.001)
        except isthmus.QueueFull:
            pass
        finally:
            assert full.qsize() == 1

    def get() -> None:
        with contextlib.suppress(isthmus.QueueEmpty):
            empty.get(timeout=0.001)

    def select() -> None:
        try:
            isthmus.select(r, other_r, (s, value), empty, other.closed, timeout=0.001)
        except TimeoutError:
            pass
        finally:
            unparked(r)
            unparked(other_r)

    def closed() -> None:
        assert not other.closed.wait(0.001)

    yield from (receive, send, put, get, select, closed)


def queues(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    def put_and_get() -> None:
        queue = isthmus.create_queue(200)
        done = 0
        try:
            for n in range(100):
                queue.put([n, {"n": n}])
                done = n + 1
        finally:
            assert queue.qsize() == done
        for n in range(100):
            before = queue.qsize()
            try:
                assert queue.get() == [n, {"n": n}]
            finally:
                assert queue.qsize() in (before, before - 1)
        queue.shutdown()

    yield put_and_get


def channels(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    def life() -> None:
        r, s = isthmus.create_channel(3)
        s.send(1)
        assert r.fileno() >= 0
        assert s.fileno() >= 0
        assert len(r.interpreters) <= 1
        assert any(each == r for each, _ in isthmus.list_all_channels())
        assert isthmus.RecvChannel(r.id) is not None
        assert r.statistics().buffered == 1
        s.poison(ValueError("why" * 50))
        s.close()
        r.close()

    yield life


def shared(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    def buffer() -> None:
        made = isthmus.SharedBuffer(100_000)
        with memoryview(made) as view:
            view[0] = 1
        cells = made.atomic("I")
        assert cells.load(0) == 1
        cells.wait(0, 1, timeout=0.001)
        cells.notify(0)

    yield buffer


def meetings(other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    """What another thread waits for is done once, or it goes on waiting."""
    r, s = isthmus.create_channel()
    value = [[1], "x" * 200]

    def parked(end: isthmus.RecvChannel, receivers: int, senders: int) -> Callable[[], bool]:
        def are() -> bool:
            seen = end.statistics()
            return (seen.waiting_receivers, seen.waiting_senders) == (receivers, senders)

        return are

    def rendezvous() -> None:
        with undisturbed():
            thread = run_in_thread(other, f"assert r.recv({PATIENCE}) == [[1], 'x' * 200]", {"r": r})
            eventually(parked(r, 1, 0), "it waits")
        try:
            s.send(value)
        except MemoryError:
            assert parked(r, 1, 0)()
            s.send(value)
            raise
        finally:
            joined(thread)

    def selected() -> None:
        with undisturbed():
            thread = run_in_thread(other, f"s.send([[1], 'x' * 200], {PATIENCE})", {"s": s})
            eventually(parked(r, 0, 1), "it waits")
        taken = False
        try:
            taken = isthmus.select(r, isthmus.create_queue(), timeout=PATIENCE)[1] == value
        except MemoryError:
            if parked(r, 0, 1)():  # else it was received, and could not be made
                assert r.recv() == value
            raise
        finally:
            joined(thread)
        assert taken

    yield from (rendezvous, selected)


GROUPS = (sending, bulk, waiting, queues, channels, shared, meetings)

command({each.__name__: lambda each=each: trial(each, threads=False) for each in GROUPS})

"""Queues of PEP 734: order, room, time-outs, shutdown, and items whose interpreter is gone."""

from __future__ import annotations

import pickle
import queue
import select
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from conftest import LARGE, PATIENCE, Running, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def test_values_come_out_in_order() -> None:
    q = isthmus.create_queue()
    values = [None, True, 7, 2.5, b"x" * LARGE, "text", (1, (2,)), {"a": [1]}]
    for value in values:
        q.put(value)
    assert q.qsize() == len(values)
    assert [q.get() for _ in values] == values
    assert q.empty()


def test_large_values_are_the_same_memory(interp: isthmus.Interpreter) -> None:
    q, back = isthmus.create_queue(), isthmus.create_queue()
    data = b"x" * LARGE
    before = isthmus.stats().payload_bytes_copied
    q.put(data)
    interp.run("back.put(q.get())", q=q, back=back)
    assert back.get() is data
    assert isthmus.stats().payload_bytes_copied == before


def test_maxsize(interp: isthmus.Interpreter) -> None:
    for unlimited in (0, -1):
        q = isthmus.create_queue(unlimited)
        assert q.maxsize == unlimited
        for i in range(100):
            q.put_nowait(i)
        assert not q.full()
    q = isthmus.create_queue(2)
    q.put(1)
    assert not q.full()
    q.put(2)
    assert q.full()
    with pytest.raises(isthmus.QueueFull):
        q.put_nowait(3)
    with pytest.raises(queue.Full):
        q.put(3, block=False)
    with pytest.raises(isthmus.QueueError):
        q.put(3, timeout=0)
    assert [q.get(), q.get()] == [1, 2]


def test_get_from_an_empty_one() -> None:
    q = isthmus.create_queue()
    for attempt in (q.get_nowait, lambda: q.get(block=False), lambda: q.get(timeout=0), lambda: q.get(False)):
        with pytest.raises(isthmus.QueueEmpty):
            attempt()
        with pytest.raises(queue.Empty):
            attempt()


@pytest.mark.parametrize("seconds", [0.05, 0.5])
def test_timeouts_are_float_seconds(seconds: float) -> None:
    q = isthmus.create_queue(1)
    start = time.monotonic()
    with pytest.raises(isthmus.QueueEmpty):
        q.get(timeout=seconds)
    assert seconds <= time.monotonic() - start < seconds + PATIENCE
    q.put(1)
    start = time.monotonic()
    with pytest.raises(isthmus.QueueFull):
        q.put(2, timeout=seconds)
    assert seconds <= time.monotonic() - start < seconds + PATIENCE
    assert q.get() == 1
    assert q.empty()  # what timed out was not put


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan")])
def test_bad_timeouts(bad: float) -> None:
    q = isthmus.create_queue(1)
    with pytest.raises(ValueError, match="timeout"):
        q.get(timeout=bad)
    with pytest.raises(ValueError, match="timeout"):
        q.put(1, timeout=bad)
    with pytest.raises(TypeError):
        q.get(timeout="1")  # type: ignore[arg-type]


def test_bad_arguments() -> None:
    for bad in ("1", 1.5, None):
        with pytest.raises(TypeError):
            isthmus.create_queue(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unbounditems"):
        isthmus.create_queue(unbounditems="UNBOUND")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        isthmus.create_queue().put(1, unbounditems=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        isthmus.create_queue().put()  # type: ignore[call-arg]
    with pytest.raises(isthmus.NotShareableError):
        isthmus.create_queue().put(threading.Lock())


def test_what_can_not_be_sent_leaves_nothing() -> None:
    q = isthmus.create_queue()
    with pytest.raises(isthmus.NotShareableError):
        q.put((b"x" * LARGE, threading.Lock()))
    assert q.empty()


def test_identity() -> None:
    q, other = isthmus.create_queue(), isthmus.create_queue()
    same = isthmus.Queue(q.id)
    assert same == q != other
    assert hash(same) == hash(q)
    assert {q, same, other} == {q, other}
    assert pickle.loads(pickle.dumps(q)) == q
    assert repr(q) == f"Queue({q.id})"
    with pytest.raises(isthmus.QueueNotFoundError):
        isthmus.Queue(2**80)
    for bad in ("1", 1.0, None):
        with pytest.raises(TypeError):
            isthmus.Queue(bad)  # type: ignore[arg-type]
    number = other.id
    del other
    with pytest.raises(isthmus.QueueNotFoundError):
        isthmus.Queue(number)
    with pytest.raises(AttributeError):
        q.id = 5  # type: ignore[misc]


def test_a_queue_travels_in_queues_and_channels(interp: isthmus.Interpreter) -> None:
    q, inner = isthmus.create_queue(), isthmus.create_queue()
    q.put((inner, [inner]))
    number = inner.id
    del inner  # on its way it stays alive
    interp.run("got, (same,) = q.get(); got.put(got == same); q.put(got); del got, same", q=q)
    back = q.get()
    assert back.id == number
    assert back.get() is True


def test_waiting_get_wakes_and_costs_nothing(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    q = isthmus.create_queue()
    got: list[Any] = []
    used = -1.0

    def wait() -> None:
        nonlocal used
        before = time.thread_time()
        got.append(q.get())
        used = time.thread_time() - before

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    interp.run("q.put(5)", q=q)
    waiting.join(PATIENCE)
    assert got == [5]
    assert 0 <= used < 0.05  # of half a second: no polling


def test_waiting_put_wakes(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    q = isthmus.create_queue(1)
    q.put(0)
    putter = spawn(interp, "q.put(1); q.put(2)", q=q)
    putter.until_asleep()
    assert [q.get(timeout=PATIENCE) for _ in range(3)] == [0, 1, 2]


def test_putters_are_admitted_in_order(new_interp: Create, spawn: Spawn) -> None:
    q = isthmus.create_queue(1)
    q.put(-1)
    for i in range(4):
        spawn(new_interp(), f"q.put({i})", q=q).until_asleep()
    assert [q.get(timeout=PATIENCE) for _ in range(5)] == [-1, 0, 1, 2, 3]


# --- items whose interpreter is gone


def left_behind(new_interp: Create, q: isthmus.Queue, source: str) -> None:
    other = new_interp()
    other.run("import isthmus\n" + source, q=q)
    other.close()


def test_unbound_items_are_replaced(new_interp: Create) -> None:
    q = isthmus.create_queue()
    assert q.unbounditems is isthmus.UNBOUND
    q.put(1)
    left_behind(new_interp, q, f"q.put(2); q.put(b'x' * {LARGE})")
    q.put(4)
    assert q.qsize() == 4
    assert [q.get() for _ in range(4)] == [1, isthmus.UNBOUND, isthmus.UNBOUND, 4]


def test_unbound_items_raise(new_interp: Create) -> None:
    q = isthmus.create_queue(unbounditems=isthmus.UNBOUND_ERROR)
    assert q.unbounditems is isthmus.UNBOUND_ERROR
    left_behind(new_interp, q, "q.put(2)")
    q.put(3)
    with pytest.raises(isthmus.ItemInterpreterDestroyed):
        q.get()
    assert q.get() == 3


def test_unbound_items_are_removed_and_make_room(new_interp: Create, spawn: Spawn) -> None:
    q = isthmus.create_queue(2, unbounditems=isthmus.UNBOUND_REMOVE)
    assert q.unbounditems is isthmus.UNBOUND_REMOVE
    other = new_interp()
    other.run("q.put(1); q.put(2)", q=q)
    putter = spawn(new_interp(), "q.put(3)", q=q)
    putter.until_asleep()
    other.close()
    putter.join()
    assert q.get(timeout=PATIENCE) == 3
    assert q.empty()


def test_each_put_may_say_otherwise(new_interp: Create) -> None:
    q = isthmus.create_queue(unbounditems=isthmus.UNBOUND_REMOVE)
    left_behind(
        new_interp,
        q,
        "q.put(1, unbounditems=isthmus.UNBOUND)\n"
        "q.put_nowait(2, unbounditems=isthmus.UNBOUND_ERROR)\n"
        "q.put(3, unbounditems=None)\n"
        "q.put(4, unbounditems=isthmus.UNBOUND_REMOVE)",
    )
    assert q.qsize() == 2
    assert q.get() is isthmus.UNBOUND
    with pytest.raises(isthmus.ItemInterpreterDestroyed):
        q.get()
    assert q.empty()


def test_taken_items_stay(new_interp: Create) -> None:
    q = isthmus.create_queue()
    other = new_interp()
    other.run(f"q.put(b'x' * {LARGE})", q=q)
    data = q.get()
    other.close()
    assert data == b"x" * LARGE


def test_markers_are_one_of_a_kind(interp: isthmus.Interpreter) -> None:
    assert repr(isthmus.UNBOUND) == "isthmus.UNBOUND"
    q = isthmus.create_queue()
    q.put(isthmus.UNBOUND)
    interp.run("import isthmus; assert q.get() is isthmus.UNBOUND", q=q)


# --- shutdown


def test_shutdown() -> None:
    q = isthmus.create_queue()
    q.put(1)
    assert not q.is_shutdown
    q.shutdown()
    assert q.is_shutdown
    with pytest.raises(queue.ShutDown):
        q.put(2)
    assert q.get() == 1
    for attempt in (q.get, q.get_nowait):
        with pytest.raises(isthmus.QueueShutDown):
            attempt()
    q.shutdown()


def test_immediate_shutdown_drops_what_is_left() -> None:
    q = isthmus.create_queue()
    q.put(b"x" * LARGE)
    q.shutdown(immediate=True)
    assert isthmus.stats().shares_outstanding == 0
    with pytest.raises(isthmus.QueueShutDown):
        q.get()


@pytest.mark.parametrize("waits", ["q.get()", "q.put(1)"])
def test_shutdown_wakes_who_waits(interp: isthmus.Interpreter, spawn: Spawn, waits: str) -> None:
    q = isthmus.create_queue(1)
    if "put" in waits:
        q.put(0)
    waiting = spawn(
        interp,
        f"import queue\ntry:\n    {waits}\nexcept queue.ShutDown:\n    done = True\nassert done",
        q=q,
    )
    waiting.until_asleep()
    q.shutdown()
    waiting.join()


# --- readiness


def readable(q: isthmus.Queue) -> bool:
    return select.select([q], [], [], 0) == ([q], [], [])


def test_fileno_is_readable_while_get_would_not_wait(interp: isthmus.Interpreter) -> None:
    q = isthmus.create_queue()
    assert not readable(q)
    interp.run("q.put(1); q.put(2)", q=q)
    assert readable(q)
    q.get()
    assert readable(q)
    q.get()
    assert not readable(q)
    q.shutdown()
    assert readable(q)


def test_closing_interpreter_wakes_its_get(new_interp: Create) -> None:
    q = isthmus.create_queue()
    other = new_interp()
    other.run(
        "import contextlib, isthmus, threading\n"
        "def wait():\n"
        "  with contextlib.suppress(isthmus.InterpreterError): q.get()\n"
        "threading.Thread(target=wait).start()",
        q=q,
    )
    other.close()  # joins its threads: a get that slept on would hang here
    with pytest.raises(isthmus.InterpreterNotFoundError):
        other.is_running()


def test_many_producers_and_consumers_lose_nothing(new_interp: Create, spawn: Spawn) -> None:
    q, out = isthmus.create_queue(8), isthmus.create_queue()
    per, count = 500, 3
    consumers = [
        spawn(new_interp(), "while (x := q.get()) is not None:\n    out.put(x)", q=q, out=out)
        for _ in range(count)
    ]
    producers = [
        spawn(new_interp(), f"for i in range({per}): q.put({n * per} + i)", q=q) for n in range(count)
    ]
    for each in producers:
        each.join()
    for _ in consumers:
        q.put(None)
    for each in consumers:
        each.join()
    assert sorted(out.get_nowait() for _ in range(out.qsize())) == list(range(per * count))


def test_a_queue_that_holds_itself_is_collected() -> None:
    q = isthmus.create_queue()
    number = q.id
    q.put((q, b"x" * LARGE))
    del q
    isthmus.stats()
    with pytest.raises(isthmus.QueueNotFoundError):
        isthmus.Queue(number)
    assert until(lambda: isthmus.stats().shares_outstanding == 0)


def test_one_object_per_id() -> None:
    q = isthmus.create_queue()
    carrier = isthmus.create_queue()
    carrier.put(q)
    assert carrier.get() is q
    assert isthmus.Queue(q.id) is q
    number = q.id
    del q
    with pytest.raises(isthmus.QueueNotFoundError):
        isthmus.Queue(number)


def test_weak_references_do_not_keep() -> None:
    r, s = isthmus.create_channel()
    made = [isthmus.create_queue(), r, s]
    seen = [weakref.ref(each) for each in made]
    assert [each() for each in seen] == made
    del r, s
    made.clear()
    assert [each() for each in seen] == [None, None, None]

"""An exporter gets its buffer back once, in its owner, however its views end and whatever the owner does."""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _exporters import EXPORTER, Ends, Exporter, is_exported
from conftest import PATIENCE, Running, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def test_slices_and_casts_keep_the_loan(interp: isthmus.Interpreter, ends: Ends) -> None:
    exporter = Exporter(100)
    ends[1].send_buffer(exporter)
    interp.run(
        "v = r.recv(); part = v[5:10]; c = part.cast('c'); exporter = v.obj; v.release(); del v", r=ends[0]
    )
    interp.run("del part")
    interp.run("assert bytes(c) == bytes(5) and memoryview(exporter).nbytes == 100")
    assert isthmus.stats().views_live == 1
    interp.run("del c")
    interp.run("del exporter")
    assert until(lambda: exporter.released != [])
    assert exporter.released == [(0, 100)]


def test_an_exporter_is_released_once_in_the_interpreter_that_owns_it(new_interp: Create, ends: Ends) -> None:
    owner, receiver = new_interp(), new_interp()
    owner.run(EXPORTER)
    owner.run(
        "exporters = [Exporter(10) for _ in range(50)]\nfor e in exporters: s.send_buffer(e)", s=ends[1]
    )
    receiver.run("views = [r.recv() for _ in range(50)]", r=ends[0])
    owner.run("assert not any(e.released for e in exporters)")
    receiver.run("del views")
    assert until(lambda: isthmus.stats().views_live == 0)
    owner.run(f"assert all(e.released == [({owner.id}, 10)] for e in exporters), exporters[0].released")


def test_an_exporter_that_only_its_views_hold_dies_in_its_owner(new_interp: Create, ends: Ends) -> None:
    owner, receiver = new_interp(), new_interp()
    owner.run(EXPORTER)
    owner.run(
        """if True:
        died = []
        class Mortal(Exporter):
            def __del__(self):
                died.append((isthmus.get_current().id, self.released))
        s.send_buffer(Mortal(10))
        """,
        s=ends[1],
    )
    receiver.run("v = r.recv(); assert v.tobytes() == bytes(10)", r=ends[0])
    owner.run("assert died == []")
    receiver.run("del v")
    assert until(lambda: isthmus.stats().views_live == 0)
    owner.run(f"assert died == [({owner.id}, [({owner.id}, 10)])], died")


def test_releases_run_in_no_call_of_ours(interp: isthmus.Interpreter, ends: Ends) -> None:
    """User code in the middle of a `send` or an allocation would surprise: the helper's thread runs it."""
    threads: list[int] = []

    class Noting(Exporter):  # type: ignore[misc]
        def __release_buffer__(self, view: memoryview) -> None:
            threads.append(threading.get_ident())

    ends[1].send_buffer(Noting(10))
    interp.run("r.recv()", r=ends[0])
    ends[1].send(1)
    ends[0].recv()
    assert until(lambda: isthmus.stats().views_live == 0)
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


def test_a_failing_release_is_reported_and_counted(interp: isthmus.Interpreter, ends: Ends) -> None:
    class Failing(Exporter):  # type: ignore[misc]
        def __release_buffer__(self, view: memoryview) -> None:
            raise ZeroDivisionError("in __release_buffer__")

    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", seen.append)
        ends[1].send_buffer(Failing(10))
        interp.run("r.recv()", r=ends[0])
        assert until(lambda: isthmus.stats().views_live == 0)
    assert [each.exc_type for each in seen] == [ZeroDivisionError]


def test_releases_may_use_isthmus(interp: isthmus.Interpreter, ends: Ends) -> None:
    """User code in a release sends, receives, makes interpreters: nothing waits for it but its own helper."""
    done = isthmus.create_channel(None)

    class Busy(Exporter):  # type: ignore[misc]
        def __release_buffer__(self, view: memoryview) -> None:
            with isthmus.create() as another:
                another.run("s.send('released')", s=done[1])

    ends[1].send_buffer(Busy(10))
    interp.run("r.recv()", r=ends[0])
    assert done[0].recv(timeout=PATIENCE) == "released"
    assert until(lambda: isthmus.stats().views_live == 0)


OWNERS = {
    "idle": "pass",
    "busy": "while not stop.recv_nowait(): sum(range(1000))",
    "receiving": "stop.recv()",
    "sleeping": "import time\nwhile not stop.recv_nowait(): time.sleep(0.01)",
}


@pytest.mark.parametrize("state", OWNERS)
def test_a_thousand_views_dropped_are_all_released(
    new_interp: Create, spawn: Spawn, ends: Ends, state: str
) -> None:
    """CPython's own pending calls lose them, but for a busy owner: 1,000 of 1,000 stay exported for ever."""
    owner, receiver = new_interp(), new_interp()
    stop = isthmus.create_channel(None)
    owner.run("data = [bytearray(10) for _ in range(1000)]\nfor each in data: s.send_buffer(each)", s=ends[1])
    receiver.run("views = [r.recv() for _ in range(1000)]", r=ends[0])
    assert isthmus.stats().views_live == 1000
    running = spawn(owner, OWNERS[state], stop=stop[0]) if state != "idle" else None
    if state == "receiving":
        assert running is not None
        running.until_asleep()
    receiver.run("del views")
    assert until(lambda: isthmus.stats().views_live == 0)
    stop[1].send(True)
    if running is not None:
        running.join()
    owner.run("for each in data: each.append(1)")


def test_main_gets_its_buffers_back_while_it_waits(
    interp: isthmus.Interpreter, spawn: Spawn, ends: Ends
) -> None:
    back = isthmus.create_channel()
    data = [bytearray(10) for _ in range(300)]
    for each in data:
        ends[1].send_buffer(each)
    spawn(interp, "views = [r.recv() for _ in range(300)]; del views; s.send(1)", r=ends[0], s=back[1])
    back[0].recv(timeout=PATIENCE)
    assert until(lambda: not any(map(is_exported, data)))


def test_a_receiver_on_another_thread(interp: isthmus.Interpreter, ends: Ends) -> None:
    data = bytearray(1000)
    for _ in range(100):
        ends[1].send_buffer(data)
    interp.run(
        """if True:
        import threading
        def work():
            for _ in range(25):
                v = r.recv()
                v[0] = v[0] + 1
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        """,
        r=ends[0],
    )
    assert data[0] == 100
    assert until(lambda: not is_exported(data))


# ---- messages that do not arrive


def test_a_message_that_is_dropped_gives_the_buffer_back() -> None:
    exporter = Exporter(10)
    r, s = isthmus.create_channel(None)
    s.send_buffer(exporter)
    assert exporter.released == []
    del r, s
    assert until(lambda: exporter.released == [(0, 10)])


def test_a_message_that_its_closed_receiver_left_behind(interp: isthmus.Interpreter, ends: Ends) -> None:
    exporter = Exporter(10)
    ends[1].send("take it")
    interp.run("assert r.recv() == 'take it'", r=ends[0])
    ends[1].send_buffer(exporter)
    ends[0].close()
    interp.close()
    assert until(lambda: exporter.released == [(0, 10)])


def test_what_could_not_be_sent_is_given_back_at_once() -> None:
    data = bytearray(10)
    r, s = isthmus.create_channel()
    with pytest.raises(TimeoutError):
        s.send_buffer(data, timeout=0)
    assert not is_exported(data)
    with pytest.raises(TimeoutError):
        s.send_buffer(obj=data, timeout=0.001)
    assert not is_exported(data)
    assert s.send_nowait(memoryview(data)) is False
    assert not is_exported(data)
    with pytest.raises(isthmus.NotShareableError):
        s.send((memoryview(data), [memoryview(data), threading.Lock()]))
    assert not is_exported(data)
    assert isthmus.is_shareable(memoryview(data))
    assert not is_exported(data)
    r.close()
    with pytest.raises(EOFError):
        s.send_buffer(data)
    assert not is_exported(data)


def test_what_exports_no_buffer_is_a_type_error(ends: Ends) -> None:
    wrong: tuple[Any, ...] = (5, "text", None, [b"x"])
    for value in wrong:
        with pytest.raises(TypeError, match=type(value).__name__):
            ends[1].send_buffer(value)
    for arguments in ((), (b"x", 1, 2)):
        with pytest.raises(TypeError):
            ends[1].send_buffer(*arguments)
    with pytest.raises(ValueError, match="timeout"):
        ends[1].send_buffer(b"x", timeout=-1)


def test_an_exporter_that_refuses(ends: Ends) -> None:
    released = memoryview(b"abc")
    released.release()
    closed = mmap.mmap(-1, 10)
    closed.close()

    class Raises:
        def __buffer__(self, flags: int) -> memoryview:
            raise ZeroDivisionError("in __buffer__")

    for value in (released, closed):
        for send in (ends[1].send, ends[1].send_buffer):
            with pytest.raises(isthmus.NotShareableError, match=type(value).__name__):
                send(value)
        assert not isthmus.is_shareable(value)
        assert isthmus.owner(value) is None
        assert isthmus.describe(value)["owner"] is None
    ends[1].send_buffer(bytearray(10))
    received = ends[0].recv()
    received.release()
    with pytest.raises(isthmus.NotShareableError):
        ends[1].send(received)
    with pytest.raises(ZeroDivisionError):
        ends[1].send_buffer(Raises())

"""What type checkers make of the public interface. Checked by mypy and pyright in strict mode, never run."""

from __future__ import annotations

from threading import Thread
from typing import Any, assert_type

import isthmus
from isthmus import inspection


def interpreters() -> None:
    interp = isthmus.create(name="worker", gil="own")
    assert_type(interp, isthmus.Interpreter)
    assert_type(interp.id, int)
    assert_type(interp.name, str | None)
    assert_type(interp.whence, str)
    assert_type(interp.call(len, b""), int)
    assert_type(interp.call(divmod, 7, 2), tuple[int, int])
    assert_type(interp.call_in_thread(print, 1), Thread)
    assert_type(interp.run_in_thread("pass", x=1), Thread)
    assert_type(isthmus.list_all(), list[isthmus.Interpreter])
    try:
        interp.exec("1/0")
    except isthmus.ExecutionFailed as failed:
        assert_type(failed.excinfo.msg, str)
    with interp as same:
        assert_type(same, isthmus.Interpreter)


def channels() -> None:
    r, s = isthmus.create_channel(None)
    assert_type(r, isthmus.RecvChannel)
    assert_type(s, isthmus.SendChannel)
    s.send(1, timeout=0.5)
    assert_type(s.send_nowait(1), bool)
    assert_type(s.send_many(range(5)), int)
    s.send_buffer(bytearray(5))
    assert_type(r.recv(), Any)
    assert_type(r.recv_many(5), list[Any])
    assert_type(r.interpreters, list[isthmus.Interpreter])
    assert_type(r.statistics().capacity, int | None)
    assert_type(s.close(), bool)
    s.poison(KeyError)
    assert_type(isthmus.list_all_channels(), list[tuple[isthmus.RecvChannel, isthmus.SendChannel]])


def queues() -> None:
    q = isthmus.create_queue(5, unbounditems=isthmus.UNBOUND_REMOVE)
    q.put(1, timeout=0.5, unbounditems=isthmus.UNBOUND)
    assert_type(q.get(timeout=1), Any)
    assert_type(q.qsize(), int)
    try:
        q.get_nowait()
    except (isthmus.QueueEmpty, isthmus.ItemInterpreterDestroyed):
        q.shutdown(immediate=True)


def select() -> None:
    r, s = isthmus.create_channel()
    q = isthmus.create_queue()
    case, value = isthmus.select(r, q, isthmus.get_main().closed, (s, 1), timeout=1.0)
    assert_type(
        case, isthmus.RecvChannel | isthmus.Queue | isthmus.ClosedEvent | tuple[isthmus.SendChannel, Any]
    )
    assert_type(value, Any)


def posted_calls() -> None:
    interp = isthmus.get_main()
    call = interp.post(divmod, 7, 2)
    assert_type(call, isthmus.PendingCall[tuple[int, int]])
    assert_type(call.result(timeout=1), tuple[int, int])
    assert_type(call.exception(), BaseException | None)
    assert_type(call.wait(1.5), bool)
    assert_type(call.cancel(), bool)
    interp.post(len, 3)  # type: ignore[arg-type]
    assert_type(interp.closed.wait(timeout=0.5), bool)


def memory() -> None:
    data = isthmus.share(b"x")
    assert_type(data, bytes)
    assert_type(isthmus.owner(data), isthmus.Interpreter | None)
    assert_type(isthmus.stats().payload_bytes_copied, int)


def shared_buffers() -> None:
    buffer = isthmus.SharedBuffer(64)
    assert_type(len(buffer), int)
    assert_type(memoryview(buffer)[0], int)
    view = buffer.atomic("q")
    assert_type(view, isthmus.AtomicView)
    assert_type(view.obj, isthmus.SharedBuffer)
    assert_type(view.add(0, 1), int)
    assert_type(view.compare_exchange(0, 1, 2), int)
    assert_type(view.wait(0, 1, timeout=0.5), bool)
    assert_type(view.notify(0, count=1), int)


def inspecting() -> None:
    assert_type(isthmus.inspection.serve(), str)
    assert_type(inspection.serving(), str | None)
    seen = inspection.snapshot()
    assert_type(seen, inspection.Snapshot)
    assert_type(seen.channels[0].capacity, int | None)
    assert_type(inspection.processes(), list[int])
    with inspection.connect(1, timeout=None) as connection:
        assert_type(inspection.rates(seen, connection.read()).seconds, float)
    try:
        inspection.read(1)
    except inspection.NotServingError:
        inspection.stop()

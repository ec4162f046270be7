"""Views: a buffer crosses as a memoryview of the same memory, and its exporter gets it back once."""

from __future__ import annotations

import array
import ctypes
import inspect
import io
import itertools
import mmap
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isthmus
from conftest import LARGE, Running, run_script, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]
Flags = inspect.BufferFlags

#: An exporter of Python's own (PEP 688) that notes where and how often it was released.
EXPORTER = """
import isthmus, threading
class Exporter:
    def __init__(self, size):
        self.data, self.released = bytearray(size), []
    def __buffer__(self, flags):
        return memoryview(self.data)
    def __release_buffer__(self, view):
        self.released.append((isthmus.get_current().id, view.nbytes))
        view.release()
"""
made: dict[str, Any] = {}
exec(EXPORTER, made)
Exporter: Any = made["Exporter"]


def mapped() -> mmap.mmap:
    memory = mmap.mmap(-1, LARGE)
    memory[:5] = b"hello"
    return memory


def in_two_dimensions() -> memoryview:
    return memoryview(array.array("h", range(24))).cast("B").cast("h", [4, 6])


class Pair(ctypes.Structure):
    """A format of several letters."""

    _fields_ = (("x", ctypes.c_int16), ("y", ctypes.c_double))


EXPORTERS: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(b"0123456789" * 10),
    "large bytearray": lambda: bytearray(b"0123456789" * LARGE),
    "empty": bytearray,
    "bytes": lambda: b"0123456789",
    "large bytes": lambda: bytes(range(250)) * 4_000,
    "mmap": mapped,
    "array": lambda: array.array("d", range(1000)),
    "two dimensions": in_two_dimensions,
    "no dimension": lambda: memoryview(ctypes.c_double(2.5)),
    "every second": lambda: memoryview(array.array("i", range(100)))[::2],
    "backwards": lambda: memoryview(bytearray(b"abcdef"))[::-1],
    "backwards, large": lambda: memoryview(bytes(range(250)) * 4_000)[::-3],
    "read-only": lambda: memoryview(bytearray(b"abc" * LARGE)).toreadonly(),
    "characters": lambda: memoryview(bytearray(b"abc")).cast("c"),
    "nested": lambda: memoryview(memoryview(bytearray(20))[2:])[3:5],
    "array of ctypes": lambda: ((ctypes.c_int * 3) * 2)((1, 2, 3), (4, 5, 6)),
    "structure": lambda: (Pair * 3)((1, 2.0), (3, 4.0)),
    "stream": lambda: io.BytesIO(b"in a stream").getbuffer(),
    "large stream": lambda: io.BytesIO(bytes(range(250)) * 4_000).getbuffer(),
    "class": lambda: Exporter(100),
}
LAYOUT = ("format", "itemsize", "ndim", "shape", "strides", "suboffsets", "nbytes", "readonly")


def layout(view: memoryview) -> dict[str, Any]:
    return {name: getattr(view, name) for name in LAYOUT}


def is_exported(data: bytearray) -> bool:
    try:
        data.append(0)
    except BufferError:
        return True
    data.pop()
    return False


@pytest.fixture
def ends() -> Iterator[tuple[isthmus.RecvChannel, isthmus.SendChannel]]:
    """An unbounded channel."""
    pair = isthmus.create_channel(None)
    yield pair
    for end in pair:
        end.close()


Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]


# ---- what arrives


@pytest.mark.parametrize("kind", EXPORTERS)
def test_a_view_has_the_layout_and_the_bytes_of_its_exporter(
    interp: isthmus.Interpreter, ends: Ends, kind: str
) -> None:
    value = EXPORTERS[kind]()
    copied = isthmus.stats().payload_bytes_copied
    ends[1].send_buffer(value)
    with memoryview(value) as here:
        interp.run(
            """if True:
            v = r.recv()
            assert type(v) is memoryview
            assert {name: getattr(v, name) for name in expected} == expected
            assert v.tobytes() == content
            v.release()
            """,
            r=ends[0],
            expected=layout(here),
            content=here.tobytes(),
        )
    assert isthmus.stats().payload_bytes_copied == copied


@pytest.mark.parametrize("kind", ["bytearray", "large bytearray", "mmap", "large stream", "array", "class"])
def test_both_sides_write_the_same_memory(interp: isthmus.Interpreter, ends: Ends, kind: str) -> None:
    value = EXPORTERS[kind]()
    with memoryview(value).cast("B") as here:
        ends[1].send_buffer(value)
        interp.run("v = r.recv().cast('B'); v[7] = 77; v[-1] = 78", r=ends[0])
        assert (here[7], here[-1]) == (77, 78)
        here[3] = 99
        interp.run("assert v[3] == 99; del v")


def test_pages_of_a_file_are_shared_and_not_copied(interp: isthmus.Interpreter, ends: Ends) -> None:
    with mapped() as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        ends[1].send_buffer(memory)
        interp.run(
            """if True:
            import ctypes
            v = r.recv()
            assert ctypes.addressof(ctypes.c_char.from_buffer(v)) == address
            assert bytes(v[:5]) == b'hello'
            v[:5] = b'world'
            del v
            """,
            r=ends[0],
            address=address,
        )
        assert memory[:5] == b"world"
        assert until(lambda: isthmus.stats().views_live == 0)


def test_suboffsets_cross() -> None:
    testbuffer = pytest.importorskip("_testbuffer")
    r, s = isthmus.create_channel(None)
    flags = testbuffer.ND_PIL | testbuffer.ND_WRITABLE
    value = testbuffer.ndarray(list(range(12)), shape=[3, 4], format="B", flags=flags)
    s.send_buffer(value)
    got = r.recv()
    assert layout(got) == layout(memoryview(value))
    assert got.suboffsets[0] >= 0
    assert got.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(BufferError):
        got.obj.__buffer__(Flags.STRIDES)


def accepted(exporter: Any, flags: int) -> dict[str, Any] | None:
    """How `exporter` answers a request: what it fills in, or nothing."""
    try:
        with exporter.__buffer__(flags) as view:
            return layout(view)
    except BufferError:
        return None


REQUESTS = [
    Flags.SIMPLE, Flags.WRITABLE, Flags.ND, Flags.STRIDES, Flags.C_CONTIGUOUS, Flags.F_CONTIGUOUS,
    Flags.ANY_CONTIGUOUS, Flags.INDIRECT, Flags.CONTIG, Flags.CONTIG_RO, Flags.STRIDED, Flags.STRIDED_RO,
    Flags.RECORDS, Flags.RECORDS_RO, Flags.FULL, Flags.FULL_RO, Flags.FORMAT, Flags.ND | Flags.FORMAT,
    Flags.C_CONTIGUOUS | Flags.FORMAT | Flags.WRITABLE, Flags.F_CONTIGUOUS | Flags.FORMAT,
]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["bytearray", "bytes", "two dimensions", "every second", "no dimension", "read-only"]
)
@pytest.mark.parametrize("flags", REQUESTS, ids=lambda flags: f"{int(flags):x}")
def test_requests_are_answered_as_a_memoryview_answers_them(ends: Ends, kind: str, flags: int) -> None:
    value = memoryview(EXPORTERS[kind]())
    ends[1].send_buffer(value)
    got = ends[0].recv()
    assert accepted(got.obj, flags) == accepted(value, flags)


def test_numpy_sees_a_view(interp: isthmus.Interpreter, ends: Ends) -> None:
    numpy = pytest.importorskip("numpy")
    value = numpy.arange(12, dtype="f4").reshape(3, 4)[:, ::2]
    ends[1].send_buffer(value)
    got = numpy.asarray(ends[0].recv())
    assert got.dtype == value.dtype
    got[1, 1] = 50
    assert value[1, 1] == 50


# ---- the other ways to send


@pytest.mark.parametrize(
    "wrap",
    [
        lambda view: view,
        lambda view: (1, (view, "text")),
        lambda view: [view],
        lambda view: {"key": [0, view]},
    ],
    ids=["itself", "in tuples", "in a list", "deep"],
)
def test_plain_send_makes_views_of_memoryviews(
    interp: isthmus.Interpreter, ends: Ends, wrap: Callable[[Any], Any]
) -> None:
    data = bytearray(LARGE)
    view = memoryview(data)[10:20]
    assert isthmus.is_shareable(wrap(view))
    ends[1].send(wrap(view))
    interp.run(
        """if True:
        value = r.recv()
        while type(value) is not memoryview:
            value = value["key"] if isinstance(value, dict) else value
            value = next(part for part in value if not isinstance(part, (int, str)))
        assert value.nbytes == 10
        value[0] = 5
        del value
        """,
        r=ends[0],
    )
    assert data[10] == 5


def test_a_view_in_a_list_twice_is_one(ends: Ends) -> None:
    view = memoryview(bytearray(10))
    ends[1].send([view, view])
    first, second = ends[0].recv()
    assert first is second


def test_mmap_goes_as_a_view_and_run_takes_views(interp: isthmus.Interpreter) -> None:
    with mapped() as memory:
        interp.run("assert type(x) is memoryview and x[:5] == b'hello'; x[0] = 72; del x", x=memory)
        assert memory[:5] == b"Hello"
        assert until(lambda: isthmus.stats().views_live == 0)


def test_bytearrays_are_still_copied(ends: Ends) -> None:
    data = bytearray(b"abc")
    ends[1].send(data)
    got = ends[0].recv()
    assert type(got) is bytearray
    assert got == data
    assert not is_exported(data)


def test_a_view_sent_on_is_the_first_owners(new_interp: Create) -> None:
    first, second = new_interp(), new_interp()
    a, b = isthmus.create_channel(None), isthmus.create_channel(None)
    data = bytearray(b"0123456789")
    views = isthmus.stats().views_made
    a[1].send_buffer(data)
    first.run("v = r.recv(); s.send_buffer(v[2:8]); s.send(v.cast('c')); s.send_buffer(v.obj)", r=a[0], s=b[1])
    second.run(
        """if True:
        part, cast, whole = r.recv(), r.recv(), r.recv()
        assert bytes(part) == b'234567' and cast.format == 'c' and whole.nbytes == 10
        assert 'owned by interpreter 0' in repr(part.obj), part.obj
        """,
        r=b[0],
    )
    assert isthmus.stats().views_made == views + 1, "one loan, however often it is sent on"
    first.close()
    second.run("part[0] = 65; assert cast[2] == b'A'; del cast, whole")
    assert data == b"01A3456789"
    assert is_exported(data)
    second.run("del part")
    assert until(lambda: not is_exported(data))


def test_a_view_that_comes_home_is_a_view(interp: isthmus.Interpreter) -> None:
    there, back = isthmus.create_channel(None), isthmus.create_channel(None)
    exporter = Exporter(100)
    there[1].send_buffer(exporter)
    interp.run("s.send_buffer(r.recv()[50:])", r=there[0], s=back[1])
    view = back[0].recv()
    view[0] = 7
    assert exporter.data[50] == 7
    assert exporter.released == []
    # The last reference ends here: no other interpreter is asked for anything.
    del view
    assert exporter.released == [(0, 100)]


@pytest.mark.parametrize("kind", ["bytearray", "mmap", "large stream", "large bytes"])
def test_owner_describe_and_same_memory_know_views(
    interp: isthmus.Interpreter, ends: Ends, kind: str
) -> None:
    value = EXPORTERS[kind]()
    there, back = ends, isthmus.create_channel(None)
    there[1].send_buffer(value)
    interp.run(
        """if True:
        import isthmus
        v = r.recv()
        assert isthmus.owner(v) is isthmus.get_main()
        facts = isthmus.describe(v[1:])
        assert facts["kind"] == "view" and facts["bytes"] == v.nbytes - 1, facts
        assert facts["owner"] is isthmus.get_main()
        assert isthmus.same_memory(v, v[:5]) and not isthmus.same_memory(v, v[1:])
        assert isthmus.owner(memoryview(b"x")) is None
        s.send(v)
        del v
        """,
        r=there[0],
        s=back[1],
    )
    mine = back[0].recv()
    assert isthmus.same_memory(mine, value)
    assert not isthmus.same_memory(mine, EXPORTERS[kind]())


# ---- the exporter gets its buffer back


def test_slices_and_casts_keep_the_loan(interp: isthmus.Interpreter, ends: Ends) -> None:
    exporter = Exporter(100)
    ends[1].send_buffer(exporter)
    interp.run("v = r.recv(); part = v[5:10]; c = part.cast('c'); exporter = v.obj; v.release(); del v", r=ends[0])
    interp.run("del part")
    interp.run("assert bytes(c) == bytes(5) and memoryview(exporter).nbytes == 100")
    assert isthmus.stats().views_live == 1
    interp.run("del c")
    interp.run("del exporter")
    assert until(lambda: exporter.released != [])
    assert exporter.released == [(0, 100)]


def test_an_exporter_is_released_once_in_the_interpreter_that_owns_it(
    new_interp: Create, ends: Ends
) -> None:
    owner, receiver = new_interp(), new_interp()
    owner.run(EXPORTER)
    owner.run("exporters = [Exporter(10) for _ in range(50)]\nfor e in exporters: s.send_buffer(e)", s=ends[1])
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


def test_a_failing_release_is_reported_and_counted(
    interp: isthmus.Interpreter, ends: Ends
) -> None:
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
    assert done[0].recv(timeout=30) == "released"
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
    """CPython's own pending calls lose them: 1,000 of 1,000 stayed exported for ever."""
    owner, receiver = new_interp(), new_interp()
    stop = isthmus.create_channel(None)
    owner.run(
        "data = [bytearray(10) for _ in range(1000)]\nfor each in data: s.send_buffer(each)", s=ends[1]
    )
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
    back[0].recv(timeout=30)
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
    with pytest.raises(ZeroDivisionError):
        ends[1].send_buffer(Raises())


# ---- interpreters that close


@pytest.mark.parametrize("kind", ["small", "large", "mmap", "stream", "bytes", "class"])
def test_a_view_outlives_its_owner(new_interp: Create, ends: Ends, kind: str) -> None:
    """The exporter is left as it is, its memory stays, also where it lay in the owner's window."""
    make = {
        "small": "bytearray(b'0123456789')",
        "large": "bytearray(b'0123456789' * 100_000)",
        "mmap": "mmap.mmap(-1, 500_000)",
        "stream": "io.BytesIO(b'0123456789' * 100_000).getbuffer()",
        "bytes": "b'0123456789' * 100_000",
        "class": "Exporter(100_000)",
    }[kind]
    owner, receiver = new_interp(), new_interp()
    before = isthmus.stats()
    owner.run(EXPORTER)
    owner.run(f"import io, mmap; s.send_buffer({make})", s=ends[1])
    mine = ends[0].recv()
    ends[1].send_buffer(mine)
    receiver.run("theirs = r.recv()", r=ends[0])
    content = mine.tobytes()
    owner.close()
    assert isthmus.stats().views_orphaned == before.views_orphaned + 1
    # Whatever was freed with the owner gets new tenants.
    others = [bytes([n]) * 500_000 for n in range(20)]
    fresh = [new_interp() for _ in range(2)]
    for each in fresh:
        each.run("x = [bytearray(b'!' * 500_000) for _ in range(10)]; y = [bytearray(b'!' * 10)] * 100")
    assert mine.tobytes() == content
    if not mine.readonly:
        mine[3], mine[-1] = 200, 201
        receiver.run("assert theirs[3] == 200 and theirs[-1] == 201")
    receiver.run("assert theirs.nbytes == n; del theirs", n=mine.nbytes)
    assert isthmus.stats().views_live == before.views_live + 1
    assert len(others) == 20
    del mine
    assert until(lambda: isthmus.stats().views_live == before.views_live)


def test_an_orphan_is_not_released(new_interp: Create, ends: Ends) -> None:
    owner = new_interp()
    told = isthmus.create_channel(None)
    owner.run(EXPORTER)
    owner.run(
        """if True:
        class Telling(Exporter):
            def __release_buffer__(self, view): tell.send('released')
        kept, dropped = Telling(10), Telling(10)
        s.send_buffer(kept)
        s.send_buffer(dropped)
        """,
        s=ends[1],
        tell=told[1],
    )
    first, second = ends[0].recv(), ends[0].recv()
    orphaned = isthmus.stats().views_orphaned
    del second
    owner.close()
    assert told[0].recv_nowait() == "released", "what was dropped before is released, at the latest by the close"
    assert isthmus.stats().views_orphaned == orphaned + 1
    del first
    with pytest.raises(EOFError):
        told[0].recv_nowait()
    assert isthmus.stats().views_orphaned == orphaned + 1


@pytest.mark.parametrize("order", list(itertools.permutations(("owner", "receiver", "channel"))), ids="-".join)
def test_closing_in_every_order(new_interp: Create, order: tuple[str, ...]) -> None:
    r, s = isthmus.create_channel(None)
    what = {"owner": new_interp(), "receiver": new_interp(), "channel": r}
    what["owner"].run(
        """if True:
        data = [bytearray(100_000), bytearray(10), b'x' * 100_000]
        for each in data * 2: s.send_buffer(each)
        for each in data: s.send_buffer(memoryview(each)[1:])
        """,
        s=s,
    )
    what["receiver"].run("import builtins; builtins.kept = [r.recv() for _ in range(5)]", r=r)
    mine = r.recv()
    for name in order:
        what[name].close()
        assert mine.tobytes() == b"x" * 100_000
    s.close()
    del mine
    assert until(lambda: isthmus.stats().views_live == 0)


@pytest.mark.parametrize("how", ["global", "cycle", "exit handler", "leaked"])
def test_a_receiver_that_closes_gives_back_what_it_held(
    interp: isthmus.Interpreter, ends: Ends, how: str
) -> None:
    exporter = Exporter(10)
    ends[1].send_buffer(exporter)
    keep = {
        "global": "pass",
        "cycle": "class Node: pass\nn = Node(); n.me, n.v = n, v; del v",
        "exit handler": "import atexit; atexit.register(v.tobytes); del v",
        "leaked": "import ctypes; ctypes.pythonapi.Py_IncRef(ctypes.py_object(v))",
    }[how]
    interp.run("v = r.recv()", r=ends[0])
    interp.run(keep)
    assert exporter.released == []
    interp.close()
    assert until(lambda: exporter.released == [(0, 10)])


def test_an_orphan_that_shows_a_received_view_keeps_it() -> None:
    """An exporter that was never released rests on memory of ours, so we don't get that back."""
    run_script(
        """
        import isthmus
        middle = isthmus.create()
        there, back = isthmus.create_channel(None), isthmus.create_channel(None)
        data = bytearray(b"0123456789")
        there[1].send_buffer(data)
        middle.run("import ctypes; c = (ctypes.c_char * 10).from_buffer(r.recv()); s.send_buffer(c)",
                   r=there[0], s=back[1])
        view = back[0].recv()
        assert isthmus.stats().views_live == 2
        middle.close()
        data[0] = 65
        assert view.tobytes() == b"A123456789"
        del view
        assert isthmus.stats().views_live == 1
        try:
            data.append(0)
        except BufferError:
            pass
        else:
            raise SystemExit("released, although an exporter still shows it")
        """
    )


# ---- without the comforts


NOTHING_SHARED = """
import isthmus, time, warnings
warnings.simplefilter("ignore")
isthmus.enable()
others = [isthmus.create() for _ in range(3)]
copied = isthmus.stats().payload_bytes_copied
r, s = isthmus.create_channel(None)
data = [bytearray(size) for size in (10, 1_000_000) for _ in others]
for each in data:
    s.send_buffer(each)
for each in others:
    each.run("v = r.recv(); w = r.recv(); v[1] = w[1] = 5; s.send_buffer(bytearray(b'abc' * 100_000))", r=r, s=s)
back = [r.recv() for _ in others]
assert all(view.tobytes() == b'abc' * 100_000 for view in back)
assert all(each[1] == 5 for each in data)
assert isthmus.stats().views_live == 9
others.pop().close()
for each in others:
    each.run("del v, w")
del back
deadline = time.monotonic() + 30
while isthmus.stats().views_live and time.monotonic() < deadline:
    time.sleep(0.001)
assert isthmus.stats().views_live == 0
assert isthmus.stats().views_orphaned == 1
assert isthmus.stats().payload_bytes_copied == copied
for each in data:
    each.append(1)
"""


@pytest.mark.parametrize(
    "env",
    [{"ISTHMUS_WINDOWS": "2", "ISTHMUS_CAPACITY": "64M"}, {"ISTHMUS_WINDOWS": "3"}, {"ISTHMUS_MAPPING_CAP": "1"}],
    ids=["no window", "few windows", "no mappings"],
)
def test_views_need_no_shared_memory(env: dict[str, str]) -> None:
    run_script(NOTHING_SHARED, env=env)


def test_views_need_no_arena() -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    run_script(f"{limit}\n{NOTHING_SHARED}")


def test_alone_in_the_process_a_dropped_message_is_released() -> None:
    run_script(
        EXPORTER
        + """
import time
exporter = Exporter(10)
r, s = isthmus.create_channel(None)
s.send_buffer(exporter)
s.send_buffer(exporter)
view = r.recv()
del view
assert exporter.released == [(0, 10)]
del r, s
assert exporter.released == [(0, 10)] * 2, exporter.released
        """
    )


def test_the_helper_rests_once_nobody_else_is_there() -> None:
    """os.fork warns of threads, so none is left when the last other interpreter has gone and all is released."""
    run_script(
        EXPORTER
        + """
import os, time, warnings
warnings.simplefilter("error")
def threads():
    return len(os.listdir("/proc/self/task"))
def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
lock = threading.Lock()
class Locking(Exporter):
    def __release_buffer__(self, view):
        with lock:
            super().__release_buffer__(view)
for round in range(5):
    interp = isthmus.create()
    exporter, kept = Locking(10), Locking(10)
    r, s = isthmus.create_channel(None)
    s.send_buffer(kept)
    interp.prepare_main(v=memoryview(exporter))
    with lock:
        interp.close()  # waits for no code of ours
        assert exporter.released == []
    wait_for(lambda: exporter.released)
    assert threads() == 2, "something is still lent"
    if round % 2:
        r.recv().release()
    else:
        del r, s
    wait_for(lambda: kept.released and threads() == 1)
    if os.fork() == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
        """
    )


LEGACY = """
import isthmus, _interpreters, sys, time
from isthmus import _isthmus
legacy = _interpreters.create("legacy")
def run(source, **shared):
    _interpreters.run_string(legacy, source, shared=shared)
run("import sys; sys.path = " + repr(sys.path))
run(EXPORTER)
isolated = isthmus.create()
r, s = isthmus.create_channel(None)
back = isthmus.create_channel(None)
run(f"s = isthmus.SendChannel({s.id}); e = Exporter(100_000); s.send_buffer(e); s.send_buffer(e); s.send_buffer(e)")
mine = r.recv()
isolated.run("v = r.recv(); v[1] = 9; del v", r=r)
assert mine[1] == 9
assert 'owned by interpreter %d' % legacy in repr(mine.obj)
def released():
    run(f"isthmus.SendChannel({back[1].id}).send(tuple(e.released))")
    return back[0].recv()
deadline = time.monotonic() + 30
while len(released()) != 1 and time.monotonic() < deadline:
    time.sleep(0.001)
assert released() == ((legacy, 100_000),), released()
_interpreters.destroy(legacy)
assert isthmus.stats().views_orphaned == 2, isthmus.stats()
assert mine[1] == 9
del mine
r.recv()
assert isthmus.stats().views_live == 0
"""


def test_interpreters_that_share_mains_gil() -> None:
    run_script(f"EXPORTER = {EXPORTER!r}\n{LEGACY}")


ENDING = """
import contextlib, threading
others = [isthmus.create() for _ in range(2)]
r, s = isthmus.create_channel(None)
kept = [Exporter(10) for _ in range(20)]
for each in kept:
    s.send_buffer(each)
for each in others:
    each.run(source)
    each.run("v = [r.recv() for _ in range(5)]; mine = [Exporter(100_000)]; s.send_buffer(mine[0])", r=r, s=s)
view = r.recv()
def run():
    with contextlib.suppress(KeyboardInterrupt):
        others[0].run("while True: w = v.pop(); v.insert(0, w[:])")
threading.Thread(target=run, daemon=True).start()
"""


def test_the_process_may_end_with_views_everywhere() -> None:
    run_script(f"{EXPORTER}\nsource = {EXPORTER!r}\n{ENDING}")

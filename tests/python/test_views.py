"""Views: a buffer crosses as a memoryview of the same memory and layout, whichever way it is sent."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _exporters import EXPORTERS, Ends, Exporter, is_exported, layout, mapped
from conftest import LARGE, until

Create = Callable[..., isthmus.Interpreter]
Flags = inspect.BufferFlags


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
    first.run(
        "v = r.recv(); s.send_buffer(v[2:8]); s.send(v.cast('c')); s.send_buffer(v.obj)", r=a[0], s=b[1]
    )
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

"""Hazard H1: BytesIO writes in place into `bytes` of which it holds the only reference; never into a twin."""

from __future__ import annotations

import _interpreters
import hashlib
import io
from collections.abc import Callable, Iterator

import pytest

import isthmus
from conftest import LARGE, run_script, until
from isthmus import _isthmus

Create = Callable[..., isthmus.Interpreter]

# In each, `take()` gives the one reference to a fresh twin, on which a stream starts, and `change` writes
# into what it is given: at its start, where the bytes lie beside the object's header, and further in.
WRITES = {
    "write": (
        "stream = io.BytesIO(take())\nchange(stream)\nassert stream.getvalue()[50_000:50_007] == b'CHANGED'"
    ),
    "writelines": "stream = io.BytesIO(take())\nstream.seek(50_000)\nstream.writelines([b'CHAN', b'GED'])",
    "getbuffer": "stream = io.BytesIO(take())\nwith stream.getbuffer() as b:\n    change_buffer(b)",
    "getbuffer cast": "stream = io.BytesIO(take())\nmemoryview(stream.getbuffer()).cast('c')[50_000] = b'C'",
    "readinto": (
        "stream = io.BytesIO(take())\nb = stream.getbuffer()[50_000:]\n"
        "io.BytesIO(b'CHANGED').readinto(b)\ndel b"
    ),
    "truncate": "stream = io.BytesIO(take())\nstream.truncate(70_000)\nchange(stream)",
    "grow": (
        "stream = io.BytesIO(take())\nstream.seek(0, 2)\nstream.write(b'CHANGED' * 100_000)\nchange(stream)"
    ),
    "keyword": "stream = io.BytesIO(initial_bytes=take())\nchange(stream)",
    "explicit init": "stream = io.BytesIO()\nstream.__init__(take())\nchange(stream)",
    "unbound init": (
        "stream = io.BytesIO.__new__(io.BytesIO)\nio.BytesIO.__init__(stream, take())\nchange(stream)"
    ),
    "init again": "stream = io.BytesIO(b'x' * 100)\nstream.__init__(take())\nchange(stream)",
    "init twice with twins": (
        "stream = io.BytesIO(take())\nstream.__init__(take())\nchange(stream)\nstream.__init__(b'')"
    ),
    "setstate": "stream = io.BytesIO()\nstream.__setstate__((take(), 0, None))\nchange(stream)",
    "subclass from before": "stream = Before(take())\nchange(stream)",
    "subclass with init from before": "stream = BeforeInit(take())\nchange(stream)",
    "subclass made later": "class After(io.BytesIO): pass\nstream = After(take())\nchange(stream)",
    "subclass of a subclass": (
        "class A(Before): pass\nclass B(A):\n    def __init__(self, x): super().__init__(x)\n"
        "stream = B(take())\nchange(stream)"
    ),
    "two bases": (
        "class Other: pass\nclass Mixed(Other, BeforeInit): pass\nstream = Mixed(take())\nchange(stream)"
    ),
    "copy of the stream": "import copy\nstream = copy.copy(io.BytesIO(take()))\nchange(stream)",
    "over getvalue": "stream = io.BytesIO(io.BytesIO(take()).getvalue())\nchange(stream)",
    "over read": "stream = io.BytesIO(io.BytesIO(take()).read())\nchange(stream)",
    "wrapped": (
        "stream = io.TextIOWrapper(io.BytesIO(take()))\nstream.seek(50_000)\n"
        "stream.write('CHANGED')\nstream.flush()"
    ),
    "buffered": "stream = io.BufferedRandom(io.BytesIO(take()))\nchange(stream)\nstream.flush()",
    "detached": (
        "outer = io.TextIOWrapper(io.BytesIO(take()))\nstream = outer.detach()\ndel outer\nchange(stream)"
    ),
    "in a cycle": (
        "class Node(io.BytesIO):\n    def __del__(self): change(self)\n"
        "stream = Node(take())\nstream.me = stream\ndel stream\nimport gc\ngc.collect()"
    ),
    "weakly referenced": (
        "import weakref\nclass Node(io.BytesIO):\n    def __del__(self): change(self)\n"
        "stream = Node(take())\nref = weakref.ref(stream)\nstream.me = stream\ndel stream\n"
        "import gc\ngc.collect()\nassert ref() is None"
    ),
    "resurrected": (
        "import gc\nkept = []\nclass Node(io.BytesIO):\n    def __del__(self): kept.append(self)\n"
        "stream = Node(take())\ndel stream\nchange(kept[0])\nkept.clear()"
    ),
    "view outlives the stream": (
        "stream = io.BytesIO(take())\nview = stream.getbuffer()\ndel stream\nchange_buffer(view)\ndel view"
    ),
    "closed": "stream = io.BytesIO(take())\nchange(stream)\nstream.close()",
}

PREPARE = """
import io
class Before(io.BytesIO): pass
class BeforeInit(io.BytesIO):
    def __init__(self, data):
        super().__init__(data)
def take():
    return twins.pop()
def change(stream):
    for place in (0, 50_000):
        stream.seek(place)
        stream.write(b'CHANGED')
def change_buffer(view):
    view[:7] = view[50_000:50_007] = b'CHANGED'
"""


@pytest.fixture(scope="module")
def prepared() -> Iterator[isthmus.Interpreter]:
    """Subclasses that exist before isthmus is first used there, and after.

    Isthmus attaches to what it makes at once; to one of the standard library's when it is first met.
    """
    number = _interpreters.create()
    assert _interpreters.exec(number, PREPARE) is None
    with isthmus.Interpreter(number) as interp:
        yield interp


def guarded() -> int:
    """Streams for which the guard holds a second reference now."""
    count = _isthmus.doctor_facts()["guarded_bytesio"]
    assert isinstance(count, int)
    return count


def original() -> bytes:
    return bytes(range(200)) * (LARGE // 200)


@pytest.mark.parametrize("way", WRITES)
def test_writing_never_reaches_the_sender(prepared: isthmus.Interpreter, way: str) -> None:
    payloads = [original(), original()]
    before = [hashlib.sha256(each).digest() for each in payloads]
    addresses = tuple(isthmus.describe(each)["slot"] for each in payloads)
    prepared.run(
        "import isthmus\ntwins = list(given)\ndel given\n"
        "assert [isthmus.describe(each)['kind'] for each in twins] == ['twin'] * 2\n"
        "assert tuple(isthmus.describe(each)['slot'] for each in twins) == slots",
        given=tuple(payloads),
        slots=addresses,
    )
    prepared.run(WRITES[way])
    assert [hashlib.sha256(each).digest() for each in payloads] == before
    prepared.run("for name in ('stream', 'outer', 'ref', 'view', 'b', 'kept'): globals().pop(name, None)")
    prepared.run("import gc\ngc.collect()\ntwins.clear()")
    assert [hashlib.sha256(each).digest() for each in payloads] == before
    assert guarded() == 0


def test_the_hazard_is_real_without_a_twin() -> None:
    """What the tests above would find: otherwise they prove nothing about the guard."""
    run_script(
        """
        import ctypes, io
        data = b"o" * 100_000
        address = id(data) + bytes.__basicsize__ - 1
        stream = io.BytesIO(data)
        del data
        stream.write(b"CHANGED")
        assert ctypes.string_at(address, 7) == b"CHANGED"
        """
    )


def test_the_guard_counts_and_lets_go(interp: isthmus.Interpreter) -> None:
    payload = original()
    start = guarded()
    interp.run("import io\nstreams = [io.BytesIO(x) for _ in range(5)]", x=payload)
    assert guarded() == start + 5
    interp.run("streams[0].__init__(b'')\nstreams[1].close()\ndel streams[4]")
    assert start + 2 <= guarded() <= start + 3
    interp.run("streams[2].getbuffer()[50_000] = 99\nassert streams[3].getvalue() is x")
    interp.run("del streams, x")
    assert guarded() == start
    assert payload == original()


def test_reading_shares_and_costs_no_copy(interp: isthmus.Interpreter) -> None:
    payload = original()
    interp.run(
        """if True:
        import io, isthmus
        stream = io.BytesIO(x)
        assert stream.getvalue() is x
        assert stream.read() is x
        assert isthmus.owner(stream.getvalue()) is isthmus.get_main()
        """,
        x=payload,
    )


def test_zipfile_in_append_mode(interp: isthmus.Interpreter) -> None:
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("first", bytes(LARGE))
    payload = bytes(bytearray(stream.getvalue()))
    before = hashlib.sha256(payload).digest()
    r, s = isthmus.create_channel(1)
    s.send(payload)
    interp.run(
        """if True:
        import io, zipfile
        stream = io.BytesIO(r.recv())
        with zipfile.ZipFile(stream, 'a') as archive:
            archive.writestr('second', b'2')
            assert archive.namelist() == ['first', 'second']
        with zipfile.ZipFile(stream) as archive:
            assert archive.testzip() is None
        """,
        r=r,
    )
    assert hashlib.sha256(payload).digest() == before


def test_the_owners_own_streams(interp: isthmus.Interpreter) -> None:
    """The owner's BytesIO finds the keeper's reference and copies before it writes."""
    stream = io.BytesIO(original())
    r, s = isthmus.create_channel(1)
    s.send(stream.getvalue())
    with stream.getbuffer() as view:
        view[50_000:50_007] = b"CHANGED"
    interp.run("x = r.recv()\nassert x == bytes(range(200)) * 500", r=r)
    assert stream.getvalue()[50_000:50_007] == b"CHANGED"


def test_an_original_that_came_home(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(1)
    interp.run("x = bytes(range(200)) * 500\ns.send(x)", s=s)
    s.send(r.recv())
    interp.run(
        """if True:
        import io
        kept = x
        stream = io.BytesIO(r.recv())
        stream.getbuffer()[50_000:50_007] = b'CHANGED'
        assert kept == bytes(range(200)) * 500
        """,
        r=r,
    )


def test_several_interpreters_write_at_once(new_interp: Create) -> None:
    payload = original()
    interps = [new_interp() for _ in range(3)]
    for number, each in enumerate(interps):
        each.run(
            "import io\nstream = io.BytesIO(x)\ndel x\nstream.write(mark * 60_000)",
            x=payload,
            mark=b"%d" % number,
        )
    for number, each in enumerate(interps):
        each.run(
            "assert stream.getvalue() == mark * 60_000 + (bytes(range(200)) * 500)[60_000:]",
            mark=b"%d" % number,
        )
    assert payload == original()


def test_streams_that_die_with_their_interpreter(new_interp: Create) -> None:
    payload, start = original(), guarded()
    interp = new_interp()
    interp.run(
        """if True:
        import io, sys, atexit
        class Last(io.BytesIO):
            def __del__(self):
                for place in (0, 50_000):
                    self.seek(place)
                    self.write(b'CHANGED')
        sys.stays = Last(x)
        cycle = Last(x)
        cycle.me = cycle
        sys.modules['io'].also = Last(x)
        atexit.register(lambda: Last(x))
        """,
        x=payload,
    )
    assert guarded() == start + 3
    interp.close()
    assert payload == original()
    assert until(lambda: guarded() == start)


def test_errors_of_bytesio_are_its_own(interp: isthmus.Interpreter) -> None:
    interp.run(
        """if True:
        import io
        for call in (lambda: io.BytesIO(x, x), lambda: io.BytesIO(data=x), lambda: io.BytesIO(5)):
            try:
                call()
            except TypeError:
                continue
            raise AssertionError
        stream = io.BytesIO(x)
        with stream.getbuffer():
            try:
                stream.__init__(x)
            except BufferError:
                failed = True
        assert failed
        """,
        x=original(),
    )

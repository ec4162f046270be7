"""Views of interpreters that close, and views without arena, window or company."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

import isthmus
from _exporters import EXPORTER, Ends, Exporter, is_exported
from conftest import run_script, until

Create = Callable[..., isthmus.Interpreter]


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
    assert told[0].recv_nowait() == "released", (
        "what was dropped before is released, at the latest by the close"
    )
    assert isthmus.stats().views_orphaned == orphaned + 1
    del first
    with pytest.raises(EOFError):
        told[0].recv_nowait()
    assert isthmus.stats().views_orphaned == orphaned + 1


@pytest.mark.parametrize(
    "order", list(itertools.permutations(("owner", "receiver", "channel"))), ids="-".join
)
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


def test_an_orphan_that_shows_a_received_view_keeps_it(new_interp: Create) -> None:
    """An exporter that was never released rests on memory of ours: we get that back with its last view."""
    middle = new_interp()
    there, back = isthmus.create_channel(None), isthmus.create_channel(None)
    data, other = bytearray(b"0123456789"), bytearray(10)
    for each in (data, other):
        there[1].send_buffer(each)
    middle.run(
        """if True:
        import ctypes
        v, w = r.recv(), r.recv()
        for each in v, w: ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
        s.send_buffer((ctypes.c_char * 8).from_buffer(v, 1))
        """,
        r=there[0],
        s=back[1],
    )
    view = back[0].recv()
    middle.close()
    assert until(lambda: not is_exported(other))
    data[1] = 65
    assert view.tobytes() == b"A2345678"
    assert is_exported(data)
    del view
    assert until(lambda: not is_exported(data))


def test_orphans_whose_classes_keep_everything_alive(new_interp: Create) -> None:
    """A leaked exporter keeps its class, that its module's globals, and those the views they hold."""
    ring = [new_interp() for _ in range(3)]
    pairs = [isthmus.create_channel(None) for _ in ring]
    for number, each in enumerate(ring):
        each.run(EXPORTER)
        each.run("for _ in range(5): s.send_buffer(Exporter(100_000))", s=pairs[number][1])
    for number, each in enumerate(ring):
        each.run("kept = [r.recv() for _ in range(5)]", r=pairs[number - 1][0])
    live = isthmus.stats().views_live
    for each in ring:
        each.close()
    assert until(lambda: isthmus.stats().views_live == live - 15)


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
    each.run("v = r.recv(); w = r.recv(); v[1] = w[1] = 5", r=r)
    each.run("s.send_buffer(bytearray(b'abc' * 100_000))", s=s)
back = [r.recv() for _ in others]
assert all(view.tobytes() == b'abc' * 100_000 for view in back)
assert all(each[1] == 5 for each in data)
assert isthmus.stats().views_live == 9
others.pop().close()
for each in others:
    each.run("del v, w")
del back
deadline = time.monotonic() + 120
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
    [
        {"ISTHMUS_WINDOWS": "2", "ISTHMUS_CAPACITY": "64M"},
        {"ISTHMUS_WINDOWS": "3"},
        {"ISTHMUS_MAPPING_CAP": "1"},
    ],
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


def test_a_forked_child_releases_what_waits_there() -> None:
    """The helper does not exist in the child: the next call of isthmus starts one."""
    run_script(
        EXPORTER
        + """
import os, time, warnings
warnings.simplefilter("ignore")
def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
lock, inside = threading.Lock(), threading.Event()
class Blocking(Exporter):
    def __release_buffer__(self, view):
        inside.set()
        with lock:
            super().__release_buffer__(view)
blocking, exporter = Blocking(10), Exporter(10)
interp = isthmus.create()
interp.prepare_main(first=memoryview(blocking), second=memoryview(exporter))
lock.acquire()
interp.run("del first")
inside.wait()
interp.run("del second")
interp.close()
assert isthmus.stats().inbox_depths[0] == 1
child = os.fork()
if child == 0:
    isthmus.create_channel(None)[1].send(1)
    wait_for(lambda: exporter.released == [(0, 10)])
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
lock.release()
wait_for(lambda: exporter.released == [(0, 10)] == blocking.released)
        """
    )


def test_the_helper_rests_once_nobody_else_is_there() -> None:
    """os.fork warns of threads: none is left once the others have gone and all is released."""
    run_script(
        EXPORTER
        + """
import os, time, warnings
warnings.simplefilter("error", DeprecationWarning)  # of os.fork
def threads():
    return len(os.listdir("/proc/self/task"))
def wait_for(condition):
    deadline = time.monotonic() + 120
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
run(f"s = isthmus.SendChannel({s.id}); e = Exporter(100_000)\\nfor _ in range(3): s.send_buffer(e)")
mine = r.recv()
isolated.run("v = r.recv(); v[1] = 9; del v", r=r)
assert mine[1] == 9
assert 'owned by interpreter %d' % legacy in repr(mine.obj)
def released():
    run(f"isthmus.SendChannel({back[1].id}).send(tuple(e.released))")
    return back[0].recv()
deadline = time.monotonic() + 120
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

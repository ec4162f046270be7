"""When the memory of a SharedBuffer is freed: after the last interpreter, message and view, in any order."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable

import pytest

import isthmus
from _subprocess import SANITIZED
from conftest import run_script, until

Create = Callable[..., isthmus.Interpreter]
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
MIB = 1 << 20
PAGE = resource.getpagesize()


def live() -> int:
    return isthmus.stats().shared_buffers_live


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE


@pytest.mark.parametrize("order", ["main first", "other first", "other closes", "other keeps a cycle"])
def test_the_last_interpreter_frees_it(interp: isthmus.Interpreter, order: str) -> None:
    before = live()
    made = isthmus.SharedBuffer(MIB)
    interp.run("kept = made; del made", made=made)
    assert live() == before + 1
    if order == "main first":
        del made
        assert live() == before + 1
        interp.run("assert len(kept) == 1 << 20; memoryview(kept)[5] = 5; del kept")
    elif order == "other first":
        interp.run("del kept")
        assert live() == before + 1
        del made
    elif order == "other closes":
        interp.close()
        memoryview(made)[-1] = 1
        assert live() == before + 1
        del made
    else:
        interp.run("import sys; circle = [kept]; circle.append(circle); sys.hidden = circle")
        del made
        interp.close()
    assert live() == before


def test_an_interpreter_that_leaks_objects_does_not_leak_the_memory() -> None:
    """A reference that is lost for good: what holds it is never freed."""
    before = live()
    with isthmus.create() as interp:
        interp.run(
            "import ctypes; ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))", made=isthmus.SharedBuffer(8)
        )
        assert live() == before + 1
    assert live() == before


def test_memoryviews_keep_it() -> None:
    before = live()
    made = isthmus.SharedBuffer(100)
    part = memoryview(made)[10:20].cast("B")
    del made
    assert live() == before + 1
    part[0] = 7
    assert isinstance(part.obj, isthmus.SharedBuffer)
    assert bytes(part.obj)[10] == 7
    del part
    assert live() == before


def test_messages_keep_it(ends: Ends) -> None:
    before = live()
    ends[1].send([isthmus.SharedBuffer(10), isthmus.SharedBuffer(20).atomic("i")])
    assert live() == before + 2
    assert len(ends[0].recv()[0]) == 10
    assert live() == before
    ends[1].send(isthmus.SharedBuffer(10))
    ends[0].close()
    assert live() == before


def test_what_is_half_encoded_is_dropped(ends: Ends) -> None:
    before = live()
    with pytest.raises(isthmus.NotShareableError):
        ends[1].send((isthmus.SharedBuffer(10), sys._getframe()))
    assert live() == before


@pytest.mark.parametrize("how", ["send", "send_buffer"])
def test_a_view_of_it_outlives_every_interpreter_that_held_it(
    new_interp: Create, ends: Ends, how: str
) -> None:
    before = live()
    owner = new_interp()
    owner.run(
        f"""if True:
        import isthmus
        made = isthmus.SharedBuffer({MIB})
        memoryview(made)[:3] = b'abc'
        s.{how}(memoryview(made)[1:])
        """,
        s=ends[1],
    )
    shown = ends[0].recv()
    owner.run("del made")
    assert live() == before + 1
    owner.close()
    assert live() == before + 1
    others = [isthmus.SharedBuffer(MIB) for _ in range(20)]  # would take the addresses, were they free
    for each in others:
        memoryview(each)[:] = b"!" * MIB
    assert bytes(shown[:3]) == b"bc\0"
    shown[-1] = 9
    del shown, others, each
    assert until(lambda: live() == before)


def test_a_view_of_it_is_given_back(interp: isthmus.Interpreter, ends: Ends) -> None:
    before = live()
    made = isthmus.SharedBuffer(1000)
    ends[1].send(memoryview(made).cast("i"))
    del made
    interp.run("shown = r.recv(); shown[1] = 77; assert shown.format == 'i'", r=ends[0])
    assert live() == before + 1
    interp.run("del shown")
    assert until(lambda: live() == before)


def test_views_of_a_received_one_are_the_same_memory(interp: isthmus.Interpreter, ends: Ends) -> None:
    made = isthmus.SharedBuffer(10)
    interp.run("s.send(memoryview(made)[2:])", s=ends[1], made=made)
    shown = ends[0].recv()
    shown[0] = 5
    assert memoryview(made)[2] == 5
    assert isthmus.same_memory(shown, memoryview(made)[2:])


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps memory of its own for what was mapped")
def test_a_thousand_of_a_mebibyte_leave_nothing(interp: isthmus.Interpreter, ends: Ends) -> None:
    before = live()
    interp.run("def touch(b): memoryview(b)[::4096] = b'x' * (len(b) // 4096)")
    start = resident()
    for i in range(1000):
        made = isthmus.SharedBuffer(MIB)
        memoryview(made)[::4096] = b"y" * (MIB // 4096)
        if i % 3 == 0:
            ends[1].send(made)
            interp.run("touch(r.recv())", r=ends[0])
        elif i % 3 == 1:
            ends[1].send(memoryview(made))
            del made
            assert ends[0].recv()[0] == ord("y")
        else:
            interp.run("last = made; del made", made=made)
    del made
    interp.run("del last")
    assert until(lambda: live() == before)
    assert resident() - start < 50 * MIB


def test_pages_come_when_they_are_touched() -> None:
    before = resident()
    made = isthmus.SharedBuffer(512 * MIB)
    assert resident() - before < 64 * MIB
    memoryview(made)[300 * MIB] = 1
    assert resident() - before < 64 * MIB


def test_many_threads_and_interpreters_pass_them_on(new_interp: Create) -> None:
    """Every buffer goes through three interpreters and is dropped in each at another time."""
    before = live()
    stages = [isthmus.create_channel(4) for _ in range(4)]
    workers = [new_interp() for _ in range(3)]
    source = """if True:
        kept = []
        for made in r:
            memoryview(made)[place] += 1
            kept.append(made)
            s.send(made)
            if len(kept) > place * 3:
                kept.pop(0)
        kept.clear()
        del made
        s.close()
        """
    threads = [
        each.run_in_thread(source, r=stages[i][0], s=stages[i + 1][1], place=i)
        for i, each in enumerate(workers)
    ]
    for each in stages[1:]:
        each[1].close()

    def feed() -> None:
        for n in range(300):
            stages[0][1].send(isthmus.SharedBuffer(n + 10))
        stages[0][1].close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    sizes = []
    for made in stages[3][0]:
        assert bytes(made)[:4] == b"\1\1\1\0"
        sizes.append(len(made))
    del made
    for thread in [feeder, *threads]:
        thread.join()
    assert sizes == [n + 10 for n in range(300)]
    assert live() == before


def test_a_forked_child_has_a_copy_of_its_own() -> None:
    run_script(
        """
        import isthmus, os
        made = isthmus.SharedBuffer(1 << 20)
        view = made.atomic("q")
        view.store(0, 1)
        with isthmus.create() as interp:
            interp.run("view.add(0, 1)", view=view)
        to_child, to_parent = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                assert view.add(0, 100) == 2
                os.write(to_parent[1], b"x")
                os.read(to_child[0], 1)
                assert view.load(0) == 102
                assert view.notify(0) == 0
                assert not view.wait(0, 102, timeout=0.01)
                other = isthmus.SharedBuffer(100)
                r, s = isthmus.create_channel(None)
                s.send(made)
                assert r.recv() == made
                status = 0
            finally:
                os._exit(status)
        os.read(to_parent[0], 1)
        assert view.add(0, 10) == 2
        os.write(to_child[1], b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert view.load(0) == 12
        """
    )


def test_the_process_may_end_with_some_about() -> None:
    run_script(
        """
        import isthmus, sys
        made = isthmus.SharedBuffer(1 << 20)
        interp = isthmus.create()
        interp.run("import sys; sys.kept = made, memoryview(made), made.atomic('i')", made=made)
        r, s = isthmus.create_channel(None)
        s.send(memoryview(made))
        sys.kept = interp, r, s, made, memoryview(made), isthmus.SharedBuffer(10)
        """
    )

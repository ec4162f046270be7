"""Interpreters that the standard library made, used by both."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import pytest

import isthmus
from conftest import PATIENCE, Running

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]

# ---- interpreters that the standard library made


@pytest.fixture
def foreign() -> Iterator[int]:
    """The id of one, as `concurrent.interpreters.create()` makes it."""
    _interpreters = pytest.importorskip("_interpreters")
    number: int = _interpreters.create(reqrefs=True)
    _interpreters.incref(number)
    yield number
    with contextlib.suppress(isthmus.InterpreterNotFoundError, _interpreters.InterpreterNotFoundError):
        _interpreters.decref(number)


def test_all_works_on_one_of_the_standard_librarys(foreign: int) -> None:
    interp = isthmus.Interpreter(foreign)
    assert interp.whence == "_interpreters module"
    assert interp.name is None
    assert not interp.is_running()
    interp.exec("x = 1")
    interp.run("x += n", n=2)
    interp.prepare_main(path=list(sys.path))
    assert interp.call(lambda: x) == 3  # type: ignore[name-defined]  # noqa: F821
    with pytest.raises(isthmus.ExecutionFailed, match="division"):
        interp.call(divmod, 1, 0)
    interp.reset_main()
    with pytest.raises(NameError):
        interp.run("x")
    r, s = isthmus.create_channel(None)
    interp.call_in_thread(s.send, "done").join(PATIENCE)
    assert r.recv(PATIENCE) == "done"
    interp.close()
    interp.close()
    assert foreign not in [each.id for each in isthmus.list_all()]


def test_one_that_can_not_be_attached_to_says_why(foreign: int) -> None:
    _interpreters = pytest.importorskip("_interpreters")
    _interpreters.exec(foreign, "import sys; sys.modules['atexit'] = None")
    interp = isthmus.Interpreter
    with pytest.raises(
        isthmus.InterpreterError, match=f"interpreter {foreign}: ModuleNotFoundError: .*atexit"
    ):
        interp(foreign)
    _interpreters.exec(foreign, "del sys.modules['atexit']")
    interp(foreign).run("x = 1")


def test_both_use_one_interpreter_side_by_side(foreign: int) -> None:
    _interpreters = pytest.importorskip("_interpreters")
    interp = isthmus.Interpreter(foreign)
    assert _interpreters.exec(foreign, "x = 1") is None
    interp.exec("x += 1")
    assert _interpreters.exec(foreign, "assert x == 2") is None
    started, go = isthmus.create_channel(None), isthmus.create_channel(None)
    thread = interp.run_in_thread("s.send(1)\nr.recv()", s=started[1], r=go[0])
    started[0].recv(PATIENCE)
    assert _interpreters.is_running(foreign)
    with pytest.raises(_interpreters.InterpreterError):
        _interpreters.exec(foreign, "x = 1")
    with pytest.raises(_interpreters.InterpreterError):
        _interpreters.destroy(foreign)
    go[1].send(None)
    thread.join(PATIENCE)
    _interpreters.destroy(foreign)
    with pytest.raises(isthmus.InterpreterNotFoundError):
        interp.exec("x = 1")
    assert interp.whence == "_interpreters module"


def test_our_objects_keep_one_open_that_the_standard_library_lets_go(foreign: int) -> None:
    _interpreters = pytest.importorskip("_interpreters")
    interp = isthmus.Interpreter(foreign)
    _interpreters.decref(foreign)
    interp.exec("x = 1")
    r, s = isthmus.create_channel(None)
    s.send(interp)
    del interp
    r.recv().exec("assert x == 1")  # the last one is dropped here
    assert foreign not in [each.id for each in isthmus.list_all()]


def test_concurrent_interpreters_beside_ours(new_interp: Create) -> None:
    theirs = pytest.importorskip("concurrent.interpreters", reason="comes with 3.14")
    one = theirs.create()
    ours = isthmus.Interpreter(one.id)
    assert ours.whence == one.whence
    ours.exec("x = 1")
    one.exec("x += 1")
    ours.run("assert x == 2")
    assert one.call(len, "abc") == ours.call(len, "abc") == 3
    mine = new_interp()
    seen = theirs.Interpreter(mine.id)
    assert seen.whence == mine.whence
    assert {each.id for each in theirs.list_all()} == {each.id for each in isthmus.list_all()}
    one.close()
    with pytest.raises(isthmus.InterpreterNotFoundError):
        ours.exec("x = 1")


@pytest.mark.parametrize("way", ["prepare_main", "queue"])
def test_ends_and_queues_pass_through_the_standard_library(foreign: int, way: str) -> None:
    """On all versions: its `prepare_main` and its queues hand on what it has been told how to."""
    _interpreters = pytest.importorskip("_interpreters")
    _interpreters.exec(foreign, f"import sys; sys.path[:] = {sys.path!r}")
    r, s = isthmus.create_channel(None)
    q = isthmus.create_queue()
    for each in (r, s, q):
        assert _interpreters.is_shareable(each)
    if way == "prepare_main":
        _interpreters.set___main___attrs(foreign, {"r": r, "s": s, "q": q})
        assert _interpreters.exec(foreign, "s.send((r, s, q)); q.put(q)") is None
    elif sys.version_info >= (3, 14):
        from concurrent import interpreters

        carrier = interpreters.create_queue()
        carrier.put(s)
        carrier.put(q)
        isthmus.Interpreter(foreign).prepare_main(number=carrier.id)
        source = (
            "from concurrent import interpreters; carrier = interpreters.Queue(number)\n"
            "s, q = carrier.get(), carrier.get(); q.put(q); s.send(s)"
        )
        assert _interpreters.exec(foreign, source) is None
    else:
        pytest.skip("3.13 has queues in its test package only")
    assert q.get(timeout=PATIENCE) is q
    got = r.recv(PATIENCE)
    assert got == ((r, s, q) if way == "prepare_main" else s)
    for each in (r, s):
        each.close()


def test_what_nobody_holds_does_not_arrive_from_the_standard_library(foreign: int) -> None:
    queues = pytest.importorskip("concurrent.interpreters", reason="comes with 3.14")
    carrier = queues.create_queue()
    carrier.put(isthmus.create_queue())
    with pytest.raises(isthmus.QueueNotFoundError):
        carrier.get()

"""Interpreters left at exit, made in vain, made and closed many times."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable

import pytest

import isthmus
from _subprocess import SANITIZED
from conftest import Running, run_script

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def test_interpreters_left_at_exit_do_not_crash() -> None:
    done = run_script(
        """
        import isthmus, threading
        r, s = isthmus.create_channel()
        kept = [isthmus.create() for _ in range(3)]
        kept[0].run("x = 1")
        kept[1].prepare_main(data=b"x" * 1_000_000)
        ready = isthmus.create_channel(None)
        def body():
            try:
                kept[2].run("ready.send(1); r.recv()", r=r, ready=ready[1])
            except (isthmus.InterpreterError, KeyboardInterrupt):
                pass  # the exit ends the wait, and interrupts the run: whichever comes first
        threading.Thread(target=body, daemon=True).start()
        ready[0].recv(120)
        print("end")
        """
    )
    assert done.stdout == "end\n"


def test_a_create_that_fails_in_the_end_leaves_no_interpreter() -> None:
    done = run_script(
        """
        import warnings
        warnings.simplefilter("error")
        import isthmus
        import _interpreters
        try:
            isthmus.create()
        except RuntimeWarning as warning:
            print(warning)
        assert [number for number, _ in _interpreters.list_all()] == [0]
        """,
        env={"ISTHMUS_WINDOWS": "2"},
    )
    assert "copies everything" in done.stdout


def test_create_that_finds_no_memory_for_its_object_leaves_no_interpreter() -> None:
    done = run_script(
        """
        import _interpreters, isthmus, weakref
        refused = 0
        def fail(self, key, value):
            raise MemoryError  # where the one object per interpreter is kept
        keep = weakref.WeakValueDictionary.__setitem__
        weakref.WeakValueDictionary.__setitem__ = fail
        try:
            isthmus.create()
        except MemoryError:
            refused += 1
        weakref.WeakValueDictionary.__setitem__ = keep
        assert refused == 1
        assert [number for number, _ in _interpreters.list_all()] == [0]
        isthmus.create().close()
        """
    )
    assert done.stdout == ""


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator is not CPython's")
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="needs _testcapi")
def test_a_close_without_memory_leaves_it_open() -> None:
    """Asked for, or by the last reference. Of two allocations either fails: for a look, for its end. From
    3.14 on they are needed for exit handlers and the like, without which CPython ends the interpreter.
    """
    done = run_script(
        """
        import _testcapi, isthmus, sys
        def attempt(action, which):
            _testcapi.set_nomemory(which, which + 1)
            try:
                action()
            finally:
                _testcapi.remove_mem_hooks()
        later = sys.version_info >= (3, 14)
        stayed = 0
        for which in (0, 1):
            interp = isthmus.create()
            try:
                attempt(interp.close, which)
            except MemoryError:
                interp.run("x = 1")
                stayed += 1
            interp.close()
            assert interp not in isthmus.list_all()
            kept = [isthmus.create()]
            number = kept[0].id
            attempt(kept.clear, which)
            left = [each.id for each in isthmus.list_all()]
            assert left == [0, number] or (later and left == [0])
            assert isthmus.list_all() == [isthmus.get_main()]  # those objects were its last ones
        assert stayed == 2 or later
        """
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("Exception ignored ")]
    assert all(line.startswith("MemoryError") for line in told)
    assert sys.version_info >= (3, 14) or not told


def test_create_use_close_again_and_again() -> None:
    for turn in range(20):
        with isthmus.create(name=f"turn {turn}") as interp:
            interp.run("assert turn + 1 == len(data)", turn=turn, data=b"x" * (turn + 1))


def test_forking_works_once_they_are_closed(interp: isthmus.Interpreter) -> None:
    interp.run("x = 1")
    interp.close()
    done = run_script(
        """
        import isthmus, os, warnings
        warnings.simplefilter("error")
        with isthmus.create() as interp:
            interp.run("assert len(data) == 100_000", data=bytes(100_000))
        kept = bytes(100_000)
        if (child := os.fork()) == 0:
            os._exit(0 if kept == bytes(100_000) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """
    )
    assert os.fsencode(done.stdout) == b""


def test_a_close_where_threads_can_not_be_told_apart(interp: isthmus.Interpreter) -> None:
    """Taking `threading.enumerate` away neither keeps the interpreter open nor its close from joining."""
    interp.run(
        "import isthmus, threading\n"
        "r, s = isthmus.create_channel()\n"
        "def wait():\n"
        "    try: r.recv()\n"
        "    except isthmus.InterpreterError: pass\n"
        "threading.Thread(target=wait).start()\n"
        "del threading.enumerate"
    )
    interp.close()
    assert interp.closed.is_set()


REFUSED = """
import threading
threading.stack_size(1 << 47)  # more than there are addresses
try:
    threading.Thread(target=print).start()
except RuntimeError:
    threading.stack_size(0)
else:
    raise AssertionError("a thread with such a stack")
"""


def test_a_thread_that_the_system_refused_is_in_nobodys_way(interp: isthmus.Interpreter) -> None:
    """CPython 3.13 keeps its thread state, and ends the process when such an interpreter ends."""
    interp.run(REFUSED * 3)
    interp.run("import threading; t = threading.Thread(target=print); t.start(); t.join()")
    interp.close()
    assert interp.closed.is_set()


def test_nor_in_an_interpreter_of_the_standard_library() -> None:
    inside = f"import sys\nsys.path[:] = {sys.path!r}\nimport isthmus\n{REFUSED}"
    done = run_script(
        f"""
        import _interpreters
        number = _interpreters.create()
        failed = _interpreters.exec(number, {inside!r})
        assert failed is None, failed
        _interpreters.destroy(number)
        print("destroyed")
        """
    )
    assert done.stdout == "destroyed\n"

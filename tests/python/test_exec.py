"""What `exec` takes; resetting `__main__`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isthmus
from conftest import LARGE, PATIENCE

Create = Callable[..., isthmus.Interpreter]
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]


# ---- exec


def test_exec_takes_a_code_object(interp: isthmus.Interpreter) -> None:
    interp.exec(compile("x = __name__", "somewhere.py", "exec"))
    interp.run("assert x == '__main__'")
    with pytest.raises(isthmus.ExecutionFailed) as caught:
        interp.exec(compile("\n1/0", "somewhere.py", "exec"))
    assert 'File "somewhere.py", line 2, in <module>' in caught.value.excinfo.errdisplay
    interp.exec(bare.__code__)
    interp.run("assert bare_ran == '__main__'")


def bare() -> None:
    global bare_ran
    bare_ran = __name__  # type: ignore[name-defined]


def test_exec_takes_a_function_without_arguments(interp: isthmus.Interpreter) -> None:
    interp.exec(bare)  # by code, though it could be imported
    interp.run("assert bare_ran == '__main__'")
    assert "bare_ran" not in globals()

    def script() -> None:
        import json

        global out
        out = json.dumps(sorted(ORDER))  # type: ignore[name-defined]
        for _ in ():
            return

    interp.exec(script)
    interp.run("assert out == '[1, 2]'")
    interp.exec(lambda: None)


ORDER = [2, 1]


def test_what_is_no_script(interp: isthmus.Interpreter) -> None:
    held = 1
    untyped: Any = interp
    no_scripts: list[Any] = [
        lambda x: None, lambda *x: None, lambda **x: None, lambda *, x=1: None, lambda x=1: None,
        lambda: 5, lambda: print(held), generates,
        (lambda x: None).__code__,
    ]  # fmt: skip
    for each in no_scripts:
        with pytest.raises(ValueError, match="script"):
            untyped.exec(each)
    no_code: tuple[Any, ...] = (b"x = 1", 5, None, print, str, [], isthmus)
    for bad in no_code:
        with pytest.raises(TypeError):
            untyped.exec(bad)


def generates() -> Iterator[None]:
    yield


def test_source_is_taken_as_it_is(interp: isthmus.Interpreter) -> None:
    class Text(str):
        __slots__ = ()

    interp.exec(Text("x = 7"))
    interp.run("assert x == 7")
    with pytest.raises(isthmus.ExecutionFailed, match="IndentationError"):
        interp.exec("  x = 1\n  y = 2")  # nothing is dedented, as in the standard library


# ---- reset_main


def test_reset_main_clears_to_the_starting_state(new_interp: Create) -> None:
    interp, fresh = new_interp(), new_interp()
    look = "seen.send(sorted((k, repr(v)) for k, v in vars().items() if k != 'seen'))"
    r, s = isthmus.create_channel(None)
    interp.run("import sys\nx = [1]\n__name__ = 'other'\n__doc__ = 5\ndel __spec__\n__builtins__ = {}")
    interp.reset_main()
    interp.prepare_main(seen=s)
    interp.run(look)
    fresh.run(look, seen=s)
    assert r.recv() == r.recv()
    interp.run("assert 'x' not in globals() and 'sys' not in globals() and __name__ == '__main__'")


def test_reset_main_drops_objects_there(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    data = b"x" * LARGE
    start = isthmus.stats().twins_live
    interp.run(
        """if True:
        import isthmus
        class Last:
            def __init__(self, name): self.name = name
            def __del__(self, s=s, me=isthmus.get_current().id): s.send((self.name, me))
        def refers_to_main(): return data
        plain = Last("plain")
        circle = Last("circle")
        circle.itself = circle
        """,
        s=s,
        data=data,
    )
    assert isthmus.stats().twins_live == start + 1
    interp.reset_main()
    assert [r.recv(PATIENCE), r.recv(PATIENCE)] == [("plain", interp.id), ("circle", interp.id)]
    assert isthmus.stats().twins_live == start
    interp.run("x = 1")


def test_reset_main_survives_what_finalizers_do(interp: isthmus.Interpreter) -> None:
    interp.run(
        """if True:
        class Again:
            def __del__(self):
                globals()["again"] = type(self)()
        first = Again()
        """
    )
    interp.reset_main()
    interp.run("assert 'first' not in globals() and __name__ == '__main__'")


# ---- what it printed


BROKEN = """
import sys
class Broken:
    closed = False
    def write(self, text): return len(text)
    def flush(self): raise OSError("no space left")
sys.stdout, sys.stderr = Broken(), Broken()
sys.unraisablehook = lambda args: s.send((repr(args.exc_value), args.object is sys.stdout))
"""


def test_output_that_gets_lost_is_reported_and_fails_no_run(interp: isthmus.Interpreter, ends: Ends) -> None:
    """That of stderr is not: there is nowhere to say it."""
    r, s = ends
    interp.run(BROKEN, s=s)
    lost = ("OSError('no space left')", True)
    assert r.recv_nowait() == lost
    assert interp.call(len, "abc") == 3
    assert r.recv_nowait() == lost
    with pytest.raises(ZeroDivisionError):
        interp.run("1 / 0")
    assert r.recv_nowait() == lost
    interp.run("sys.stdout.closed = True")
    assert r.recv_nowait() is None
    interp.run("sys.stdout = None")
    assert r.recv_nowait() is None
    interp.run("sys.unraisablehook = sys.__unraisablehook__")

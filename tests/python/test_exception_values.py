"""Exceptions that are sent as values arrive as what they are, with all they are linked to."""

from __future__ import annotations

import copyreg
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import isthmus

type Bounce = Callable[[Any], Any]


@pytest.fixture
def bounce(interp: isthmus.Interpreter) -> Bounce:
    """Send a value through another interpreter."""
    there, back = isthmus.create_channel(None), isthmus.create_channel(None)
    interp.prepare_main(there=there[0], back=back[1])

    def through(value: Any) -> Any:
        there[1].send(value)
        interp.run("back.send(there.recv())")
        return back[0].recv()

    return through


def raised(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    pytest.fail("nothing was raised")


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def deep(n: int) -> None:
    if n:
        deep(n - 1)
    try:
        {}["key"]  # type: ignore[index]
    except KeyError as error:
        raise ValueError(
            "in two lines",
        ) from error


@pytest.mark.parametrize(
    "action",
    [
        lambda: 1 / 0,
        lambda: deep(3),
        lambda: os.stat("/nonexistent/x"),
        lambda: __import__("nonexistent_module"),
        lambda: nonexistent,  # type: ignore[name-defined]  # noqa: F821
        lambda: [].x,  # type: ignore[attr-defined]
        lambda: int("x"),
        lambda: b"\xff".decode(),
        lambda: "\ud800".encode(),
        lambda: compile("a b", "file.py", "exec"),
        lambda: json.loads("{"),
        lambda: sys.exit(3),
        lambda: next(iter([])),
        lambda: subprocess.run([sys.executable, "-c", "raise SystemExit(2)"], check=True),
    ],
)
def test_what_was_raised_arrives_as_it_was(bounce: Bounce, action: Callable[[], object]) -> None:
    error = raised(action)
    error.add_note("noted")
    got = bounce(error)
    assert got is not error
    assert type(got) is type(error)
    assert got.args == error.args
    assert str(got) == str(error)
    assert vars(got) == vars(error)
    assert shown(got) == shown(error)
    assert got.__suppress_context__ is error.__suppress_context__


def test_what_c_keeps_of_exceptions_arrives(bounce: Bounce) -> None:
    error: Any = bounce(OSError(2, "gone", "a", None, "b"))
    assert (type(error), error.errno, error.filename, error.filename2) == (FileNotFoundError, 2, "a", "b")
    assert bounce(StopIteration(5)).value == 5
    assert bounce(ImportError("m", name="n", path="p")).path == "p"
    assert bounce(NameError("m", name="n")).name == "n"
    assert bounce(AttributeError("m", name="n", obj=threading.Lock())).name == "n"
    unicode: Any = bounce(UnicodeDecodeError("utf-8", b"abc", 1, 2, "why"))
    assert (unicode.object, unicode.start, unicode.reason) == (b"abc", 1, "why")
    changed = SystemExit(1)
    changed.code = 7
    assert (bounce(changed).code, bounce(changed).args) == (7, (1,))


def test_inside_containers_and_as_arguments(interp: isthmus.Interpreter) -> None:
    error = ValueError("one", 2)
    told = interp.call(
        lambda a, *, b: (a[0] is b["again"], type(a[0]), a[0].args), [error], b={"again": error}
    )
    assert told == (True, ValueError, ("one", 2))


def test_a_traceback_is_shown_over_there(interp: isthmus.Interpreter) -> None:
    error = raised(lambda: deep(1))
    assert 'raise ValueError(\n        "in two lines",\n' in shown(error)
    text = interp.call(traceback.format_exception, error)
    assert "".join(text) == shown(error)


def test_a_traceback_grows_where_it_is_raised_again(bounce: Bounce) -> None:
    got = bounce(raised(lambda: deep(0)))
    before = traceback.extract_tb(got.__traceback__)

    def again() -> None:
        raise got

    after = traceback.extract_tb(raised(again).__traceback__)
    assert [each.name for each in after[:2]] == ["raised", "again"]
    assert after[2:] == before


def test_a_very_long_traceback_is_cut_in_the_middle(bounce: Bounce) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        error = raised(lambda: deep(3000))
    finally:
        sys.setrecursionlimit(limit)
    innermost = error
    while innermost.__context__ is not None and isinstance(innermost.__context__, ValueError):
        innermost = innermost.__context__
    innermost.__cause__ = innermost.__context__ = None
    places = traceback.extract_tb(innermost.__traceback__)
    assert len(places) > 2000
    got = traceback.extract_tb(bounce(innermost).__traceback__)
    assert len(got) == 1000
    assert [each.lineno for each in got[:500]] == [each.lineno for each in places[:500]]
    assert got[-1] == places[-1]


# ---- links


def test_causes_and_contexts(interp: isthmus.Interpreter, bounce: Bounce) -> None:
    error, cause, context = ValueError("e"), KeyError("cause"), TypeError("context")
    error.__cause__, error.__context__ = cause, context
    told = interp.call(lambda e: (repr(e.__cause__), repr(e.__context__), e.__suppress_context__), error)
    assert told == ("KeyError('cause')", "TypeError('context')", True)
    got = bounce(error)
    assert repr(got.__cause__) == "KeyError('cause')"
    assert repr(got.__context__) == "TypeError('context')"
    assert got.__suppress_context__ is True
    error.__suppress_context__ = False
    assert bounce(error).__suppress_context__ is False


def test_circles(bounce: Bounce) -> None:
    a, b = ValueError("a"), ValueError("b")
    a.__context__, b.__context__ = b, a
    got = bounce(a)
    assert got.__context__.__context__ is got
    a.me = [a]  # type: ignore[attr-defined]
    got = bounce({"a": a})["a"]
    assert got.me[0] is got
    a.__cause__ = a
    assert bounce(a).__cause__.args == ("a",)


def test_groups(bounce: Bounce) -> None:
    group = ExceptionGroup("outer", [ValueError(1), ExceptionGroup("inner", [KeyError("k")])])
    group.add_note("noted")
    got = bounce(raised(lambda: (_ for _ in ()).throw(group)))
    assert type(got) is ExceptionGroup
    assert (got.message, repr(got.exceptions), got.__notes__) == ("outer", repr(group.exceptions), ["noted"])
    assert shown(got) == shown(group)
    assert type(bounce(BaseExceptionGroup("b", [KeyboardInterrupt()]))) is BaseExceptionGroup


def test_members_that_are_linked_to_their_group(bounce: Bounce) -> None:
    member = ValueError("m")
    group = ExceptionGroup("g", [member, TypeError("t")])
    member.__context__ = group
    got = bounce(group)
    assert got.exceptions[0].__context__ is got
    first, second = bounce([member, group])
    assert second.exceptions[0] is first
    assert first.__context__ is second
    alone = bounce(member)
    assert alone.__context__.exceptions[0] is alone


# ---- classes of their own


class Odd(Exception):
    """Its constructor does not take its arguments."""

    __slots__ = ("slot",)

    def __init__(self, name: str, *, code: int) -> None:
        super().__init__(f"hello {name}")
        self.code = code
        self.slot = [code]


class OddOS(OSError):
    """Likewise, and C looks at the arguments."""

    def __init__(self, path: str) -> None:
        super().__init__(5, "odd", path)


class OddNew(Exception):
    """`__new__` has the odd signature."""

    def __new__(cls, *, needed: int) -> OddNew:
        return super().__new__(cls, needed)

    def __init__(self, *, needed: int) -> None:
        super().__init__(needed)


class OwnWay(Exception):
    """Says how it is taken apart."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a + b)
        self.pair = a, b

    def __reduce__(self) -> Any:
        return OwnWay, self.pair


class Wrong(Exception):
    """Says so wrongly."""

    def __init__(self, a: int) -> None:
        super().__init__(a)

    def __reduce__(self) -> Any:
        return Wrong, (1, 2, 3)


def test_constructors_with_odd_signatures(bounce: Bounce) -> None:
    error = bounce(Odd("x", code=3))
    assert (type(error), error.args, error.code, error.slot) == (Odd, ("hello x",), 3, [3])
    os_error = bounce(OddOS("/p"))
    assert (type(os_error), os_error.args, os_error.filename) == (OddOS, (5, "odd"), "/p")
    assert bounce(OddNew(needed=4)).args == (4,)


def test_a_way_of_its_own(bounce: Bounce) -> None:
    error = OwnWay(1, 2)
    error.add_note("noted")
    error.__cause__ = KeyError("cause")
    got = bounce(raised(lambda: (_ for _ in ()).throw(error)))
    assert (type(got), got.args, got.pair) == (OwnWay, (3,), (1, 2))
    assert (got.__notes__, repr(got.__cause__)) == (["noted"], "KeyError('cause')")
    assert shown(got) == shown(error)


def test_a_registered_way(bounce: Bounce) -> None:
    copyreg.pickle(Odd, lambda e: (ValueError, ("instead of", e.code)))
    try:
        got = bounce(Odd("x", code=3))
    finally:
        del copyreg.dispatch_table[Odd]
    assert (type(got), got.args) == (ValueError, ("instead of", 3))


def test_what_can_not_be_rebuilt_says_so(interp: isthmus.Interpreter, bounce: Bounce) -> None:
    with pytest.raises(isthmus.NotShareableError, match=r"Wrong can't be rebuilt here.*takes 2 positional"):
        interp.call(repr, Wrong(1))
    r, s = isthmus.create_channel(None)
    s.send(Wrong(1))
    with pytest.raises(isthmus.NotShareableError, match="Wrong can't be rebuilt here"):
        r.recv()


def test_classes_by_code(interp: isthmus.Interpreter, bounce: Bounce) -> None:
    class Local(LookupError):
        def __init__(self, *, why: str) -> None:
            super().__init__(why)
            self.why = why

        def __str__(self) -> str:
            return f"because {self.why}"

    assert interp.call(lambda e: (str(e), isinstance(e, LookupError)), Local(why="x")) == ("because x", True)
    got = bounce(raised(lambda: (_ for _ in ()).throw(Local(why="x"))))
    assert type(got) is Local


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda lock: ValueError("x", lock), r"\.args\[1\]: _thread\.lock"),
        (lambda lock: [OSError(1, lock)], r"\[0\]\.args\[1\]: _thread\.lock"),
        (
            lambda lock: ExceptionGroup("g", [ValueError(lock)]),
            r"\.exceptions\[0\]\.args\[0\]: _thread\.lock",
        ),
    ],
)
def test_the_part_that_can_not_cross_is_named(make: Callable[[Any], Any], path: str) -> None:
    with pytest.raises(isthmus.NotShareableError, match=path):
        isthmus.create_channel(None)[1].send(make(threading.Lock()))


def test_an_attribute_or_a_link_that_can_not_cross_is_named() -> None:
    error: Any = ValueError("x")
    error.held = {"k": threading.Lock()}
    with pytest.raises(isthmus.NotShareableError, match=r"^\.held\['k'\]: _thread\.lock can't be sent"):
        isthmus.create_channel(None)[1].send(error)
    outer = KeyError("y")
    outer.__cause__ = error
    with pytest.raises(isthmus.NotShareableError, match=r"^\.__cause__\.held\['k'\]: _thread\.lock"):
        isthmus.create_channel(None)[1].send(outer)
    assert not isthmus.is_shareable([outer])

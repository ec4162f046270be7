"""What an exception of another interpreter is linked to, and what makes trouble on its way."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isthmus
from _failures import failure_of, raised_by, remote


@pytest.fixture(scope="module")
def interp() -> Iterator[isthmus.Interpreter]:
    """One for the whole file: a failed run leaves an interpreter as good as before."""
    with isthmus.create() as made:
        yield made


# ---- what an exception is linked to


def test_an_implicit_context_is_kept(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "try: {}['first']\nexcept KeyError: raise ValueError('second')")
    assert type(failure) is ValueError
    context = failure.__context__
    assert type(context) is KeyError
    assert remote(context).msg == "'first'"
    stands_for = failure.__cause__
    assert stands_for is not None
    assert (stands_for.__cause__, stands_for.__context__) == (None, context)
    assert stands_for.__suppress_context__ is False
    assert "During handling of the above exception" in remote(failure).errdisplay
    assert "During handling of the above exception" in "".join(traceback.format_exception(failure))


def test_a_suppressed_context_stays_suppressed(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "try: {}['first']\nexcept KeyError: raise ValueError('second') from None")
    assert type(failure.__context__) is KeyError
    assert failure.__cause__ is not None
    assert failure.__cause__.__suppress_context__ is True
    assert "first" not in "".join(traceback.format_exception(failure))


def test_a_cause_and_a_context_that_are_one_arrive_as_one(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "try: 1/0\nexcept ZeroDivisionError as e: raise ValueError from e")
    stands_for = failure.__cause__
    assert stands_for is not None
    assert stands_for.__cause__ is stands_for.__context__ is failure.__context__
    assert type(failure.__context__) is ZeroDivisionError


def test_exec_keeps_the_links_too(interp: isthmus.Interpreter) -> None:
    source = "try: {}['first']\nexcept KeyError as e: raise ValueError('second') from e"
    failure = failure_of(lambda: interp.exec(source))
    assert type(failure) is isthmus.ExecutionFailed
    assert type(failure.__cause__) is KeyError
    assert failure.__context__ is failure.__cause__


def test_a_context_through_another_interpreter(interp: isthmus.Interpreter) -> None:
    source = """if True:
        import isthmus
        with isthmus.create() as inner:
            inner.run("1/0")
    """
    failure = raised_by(interp, source)
    assert type(failure) is ZeroDivisionError
    stands_for = failure.__cause__
    assert isinstance(stands_for, isthmus.ExecutionFailed)
    assert isinstance(stands_for.__cause__, isthmus.ExecutionFailed)
    assert stands_for.__cause__.excinfo.type.__name__ == "ExecutionFailed"
    assert "ZeroDivisionError: division by zero" in stands_for.__cause__.excinfo.msg


def test_circles_of_all_kinds_arrive(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        """
        a, b = ValueError('a'), KeyError('b')
        group = ExceptionGroup('g', [a, b])
        a.__cause__, a.__context__, b.__context__ = group, b, a
        raise group
        """,
    )
    assert isinstance(failure, ExceptionGroup)
    assert [type(each) for each in failure.exceptions] == [ValueError, KeyError]
    a, b = failure.exceptions
    assert (a.__context__, b.__context__) == (b, a)


def test_a_chain_of_thousands_arrives_in_part(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        """
        e = ValueError(0)
        for i in range(1, 3000):
            f = ValueError(i)
            f.__context__ = e
            e = f
        raise e
        """,
    )
    seen = []
    each: BaseException | None = failure
    while each is not None:
        seen.append(each.args)
        each = each.__context__
    assert seen == [(2999 - i,) for i in range(len(seen))]
    assert len(seen) > 10


def test_members_of_groups_keep_their_causes_notes_and_tracebacks(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        """
        def fail():
            try:
                {}['k']
            except KeyError as e:
                e.add_note('noted')
                raise ValueError('member') from e
        found = []
        for _ in range(50):
            try: fail()
            except ValueError as e: found.append(e)
        group = ExceptionGroup('outer', [ExceptionGroup('inner', found), TypeError('other')])
        group.add_note('of the group')
        raise group
        """,
    )
    assert isinstance(failure, ExceptionGroup)
    assert failure.__notes__ == ["of the group"]
    inner, other = failure.exceptions
    assert isinstance(inner, ExceptionGroup)
    assert (inner.message, other.args, len(inner.exceptions)) == ("inner", ("other",), 50)
    for member in inner.exceptions:
        assert "in fail" in remote(member).errdisplay
        assert member.__cause__ is not None
        root = member.__cause__.__cause__
        assert type(root) is KeyError
        assert root.__notes__ == ["noted"]


def test_groups_deep_in_groups_end(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        "e = ValueError(1)\nfor i in range(100): e = ExceptionGroup(str(i), [e])\nraise e",
    )
    depth = 0
    while isinstance(failure, ExceptionGroup):
        (failure,) = failure.exceptions
        depth += 1
    assert depth > 10
    assert isinstance(failure, isthmus.ExecutionFailed)


# ---- what makes trouble on the way


def test_a_syntax_error_keeps_all_its_fields(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "compile('x = 1\\ny = = 2', 'my file.py', 'exec')")
    assert type(failure) is SyntaxError
    assert (failure.filename, failure.lineno, failure.offset) == ("my file.py", 2, 5)
    assert (failure.text, failure.end_lineno, failure.end_offset) == ("y = = 2\n", 2, 6)
    assert failure.msg == "invalid syntax"
    assert 'File "my file.py", line 2' in remote(failure).errdisplay


def test_attributes_that_were_set_arrive(interp: isthmus.Interpreter) -> None:
    failure: Any = raised_by(interp, "e = ValueError(1)\ne.code = [5]\nraise e")
    assert failure.code == [5]
    failure = raised_by(
        interp,
        "e = ExceptionGroup('g', [ValueError(1)])\ne.code = [5]\ne.lock = lambda: 1\nraise e",
    )
    assert failure.code == [5]
    assert not hasattr(failure, "lock")


@pytest.mark.parametrize(
    "stop", ["KeyError", "SystemExit", "KeyboardInterrupt", "RecursionError", "MemoryError"]
)
def test_an_exception_whose_str_raises(interp: isthmus.Interpreter, stop: str) -> None:
    source = f"class Own(Exception):\n    def __str__(self): raise {stop}\nraise Own"
    failure = raised_by(interp, source)
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert failure.excinfo.type.__name__ == "Own"
    assert failure.excinfo.msg == "<exception str() failed>"
    failure = raised_by(
        interp,
        f"class Part:\n    def __repr__(self): raise {stop}\nraise ValueError(Part())",
    )
    assert type(failure) is ValueError
    interp.run("x = 1")


@pytest.mark.parametrize(
    "source",
    [
        "class Own(Exception):\n    __module__ = 5\nraise Own('text')",
        "class Own(Exception):\n    args = property(lambda self: 1/0)\nraise Own('text')",
        "class Own(Exception):\n    __cause__ = property(lambda self: 1/0)\nraise Own('text')",
        "class Own(Exception):\n    __context__ = 7\nraise Own('text')",
        "class Own(Exception):\n    __notes__ = 7\nraise Own('text')",
        "class Own(Exception):\n    __traceback__ = 7\nraise Own('text')",
        "class Own(Exception):\n    def __getattribute__(self, name): 1/0\nraise Own('text')",
        "class Meta(type):\n    def __getattribute__(self, name): 1/0\n"
        "class Own(Exception, metaclass=Meta): pass\nraise Own('text')",
    ],
)
def test_odd_classes_are_described_all_the_same(interp: isthmus.Interpreter, source: str) -> None:
    failure = raised_by(interp, source)
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert failure.excinfo.type.__name__ == "Own"
    assert failure.excinfo.msg == "text"
    assert str(failure)


def test_surrogates_in_a_message_arrive(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "raise ValueError('a\\udc80b')")
    assert failure.args == ("a\udc80b",)
    failure = failure_of(lambda: interp.exec("raise SystemExit('a\\udc80b')"))
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert failure.excinfo.msg == "a\udc80b"


def test_a_message_of_megabytes_arrives(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "raise ValueError('x' * 20_000_000)")
    assert failure.args[0] == "x" * 20_000_000
    failure = failure_of(lambda: interp.exec("raise KeyError('y' * 20_000_000)"))
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert len(failure.excinfo.msg) == 20_000_002
    assert len(failure.excinfo.errdisplay) < 2_000_000
    assert failure.excinfo.errdisplay.startswith("Traceback (most recent call last):")


def test_recursion_and_memory_errors(interp: isthmus.Interpreter) -> None:
    for source, kind in (
        ("def f(): f()\nf()", RecursionError),
        ("x = []\nfor i in range(100_000): x = [x]\nrepr(x)", RecursionError),
        ("import sys; x = 'a' * sys.maxsize", MemoryError),  # malloc is not even asked
        ("class C:\n    def __getattr__(self, n): return getattr(self, n)\nC().x", RecursionError),
    ):
        failure = raised_by(interp, source)
        assert type(failure) is kind
        assert remote(failure).type.__name__ == kind.__name__
    interp.run("x = None")


def test_without_the_package_there_is_still_a_name_and_a_text(new_interp: Callable[..., Any]) -> None:
    bare = new_interp()
    bare.run("import sys\nsys.path.clear()\nsys.meta_path.clear()\nsys.modules.pop('isthmus._remote', None)")
    failure = failure_of(lambda: bare.exec("raise ValueError('told')"))
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert (failure.excinfo.type.__name__, failure.excinfo.msg) == ("ValueError", "told")
    assert str(failure) == "ValueError"


def test_an_interrupt_arrives_once(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "raise KeyboardInterrupt")
    assert type(failure) is KeyboardInterrupt
    interp.run("x = 1")

"""What an exception of another interpreter becomes in the caller of `run`, `exec` and `prepare_main`."""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Iterator

import pytest

import isthmus
from _failures import failure_of, raised_by, remote


@pytest.fixture(scope="module")
def interp() -> Iterator[isthmus.Interpreter]:
    """One for the whole file: a failed run leaves an interpreter as good as before."""
    with isthmus.create() as made:
        yield made


@pytest.mark.parametrize(
    ("source", "kind", "args"),
    [
        ("1/0", ZeroDivisionError, ("division by zero",)),
        ("raise ValueError('a', 2, [3])", ValueError, ("a", 2, [3])),
        ("raise KeyError('k')", KeyError, ("k",)),
        ("raise Exception", Exception, ()),
        ("raise StopIteration(5)", StopIteration, (5,)),
        ("raise KeyboardInterrupt('now')", KeyboardInterrupt, ("now",)),
        ("raise MemoryError", MemoryError, ()),
        ("open('/nonexistent/x')", FileNotFoundError, (2, "No such file or directory")),
        ("import nonexistent_module", ModuleNotFoundError, ("No module named 'nonexistent_module'",)),
        ("nonexistent", NameError, ("name 'nonexistent' is not defined",)),
        ("[].x", AttributeError, ("'list' object has no attribute 'x'",)),
        ("assert 1 == 2, 'never'", AssertionError, ("never",)),
        ("raise StopAsyncIteration", StopAsyncIteration, ()),
    ],
)
def test_a_builtin_exception_arrives_as_itself(
    interp: isthmus.Interpreter, source: str, kind: type[BaseException], args: tuple[object, ...]
) -> None:
    failure = raised_by(interp, source)
    assert type(failure) is kind
    assert failure.args == args
    info = remote(failure)
    assert (info.type.__name__, info.type.__qualname__, info.type.__module__) == (
        kind.__name__, kind.__qualname__, "builtins",
    )  # fmt: skip
    assert info.msg == str(failure)
    assert "Traceback (most recent call last):" in info.errdisplay
    assert 'File "<string>", line 1, in <module>' in info.errdisplay
    interp.run("x = 1")  # nothing of it is left there


def test_the_remote_traceback_is_in_what_python_prints(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        """
        def inner_function():
            raise IndexError("far away")
        inner_function()
        """,
    )
    printed = "".join(traceback.format_exception(failure))
    assert "in inner_function" in printed
    assert printed.rstrip().endswith("IndexError: far away")
    assert printed.index("in inner_function") < printed.index("direct cause")


def test_attributes_of_the_class_arrive(interp: isthmus.Interpreter) -> None:
    missing = raised_by(interp, "open('/nonexistent/x')")
    assert isinstance(missing, FileNotFoundError)
    assert (missing.errno, missing.filename) == (2, "/nonexistent/x")
    decoding = raised_by(interp, "b'ab\\xff'.decode()")
    assert isinstance(decoding, UnicodeDecodeError)
    assert (decoding.object, decoding.start, decoding.end) == (b"ab\xff", 2, 3)
    importing = raised_by(interp, "import nonexistent_module")
    assert isinstance(importing, ImportError)
    assert importing.name == "nonexistent_module"


def test_its_own_cause_is_the_causes_cause(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        """
        try:
            try:
                {}['first']
            except KeyError as error:
                raise LookupError('second') from error
        except LookupError as error:
            raise ValueError('third') from error
        """,
    )
    chain: list[BaseException] = []
    link: BaseException | None = failure
    while link is not None:
        chain.append(link)
        link = link.__cause__
    assert [type(each) for each in chain] == [
        kind for own in (ValueError, LookupError, KeyError) for kind in (own, isthmus.ExecutionFailed)
    ]
    assert [each.args for each in chain[::2]] == [("third",), ("second",), ("first",)]


def test_a_cause_that_is_no_builtin_is_described(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "class Own(Exception): pass\nraise ValueError(1) from Own('root')")
    assert type(failure) is ValueError
    assert failure.__cause__ is not None
    root = failure.__cause__.__cause__
    assert isinstance(root, isthmus.ExecutionFailed)
    assert (root.excinfo.type.__name__, root.excinfo.msg) == ("Own", "root")


def test_a_circle_of_causes_ends(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "a, b = ValueError('a'), KeyError('b')\na.__cause__ = b\nraise b from a")
    assert type(failure) is KeyError


@pytest.mark.parametrize(
    "source",
    [
        "raise SystemExit(3)",
        "import sys\nsys.exit()",
        "raise GeneratorExit",
        "raise BaseException('base')",
        "raise BaseExceptionGroup('group', [KeyboardInterrupt()])",
        "class Own(ValueError): pass\nraise Own('own')",
        "def f():\n    class ValueError(Exception): pass\n    raise ValueError('not the builtin one')\nf()",
        "import json\njson.loads('{')",
        "import os\nclass Own(KeyboardInterrupt): pass\nraise Own",
        "class Own(Exception):\n    def __str__(self): raise KeyError\nraise Own",
        "class Own(Exception):\n    def __reduce__(self): raise KeyError\nraise Own",
    ],
)
def test_all_else_arrives_as_execution_failed(interp: isthmus.Interpreter, source: str) -> None:
    failure = raised_by(interp, source)
    assert type(failure) is isthmus.ExecutionFailed
    assert isinstance(failure, isthmus.InterpreterError)
    assert failure.excinfo.type.__name__ in source + " SystemExit JSONDecodeError"
    assert failure.excinfo.formatted in str(failure)
    assert failure.excinfo.errdisplay in str(failure)


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError(lambda: 1)",
        "raise ValueError(open('/dev/null'))",
        "class Own: pass\nraise ValueError(Own())",
        "class Own:\n    def __reduce__(self): raise KeyError\nraise ValueError(Own())",
    ],
)
def test_arguments_that_can_not_cross_are_replaced_by_their_text(
    interp: isthmus.Interpreter, source: str
) -> None:
    failure = raised_by(interp, source)
    assert type(failure) is ValueError
    assert failure.args == (remote(failure).msg,)
    assert (
        "object" in remote(failure).msg or "function" in remote(failure).msg or "_io" in remote(failure).msg
    )


def test_notes_arrive(interp: isthmus.Interpreter) -> None:
    for argument in ("'plain'", "lambda: 1"):
        failure = raised_by(
            interp, f"e = KeyError({argument})\ne.add_note('one')\ne.add_note('two')\nraise e"
        )
        assert type(failure) is KeyError
        assert failure.__notes__ == ["one", "two"]
        assert "two" in remote(failure).errdisplay


def test_a_syntax_error_arrives_as_itself(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "never_set = 1\ndef (")
    assert isinstance(failure, SyntaxError)
    assert (failure.lineno, failure.text) == (2, "def (\n")
    with pytest.raises(NameError):
        interp.run("never_set")


def test_a_recursion_error_arrives_and_the_interpreter_lives_on(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "def f(): f()\nf()")
    assert type(failure) is RecursionError
    interp.run("assert sum(range(4)) == 6")


def test_exception_groups(interp: isthmus.Interpreter) -> None:
    failure = raised_by(interp, "raise ExceptionGroup('many', [ValueError(1), KeyError('k')])")
    assert type(failure) is ExceptionGroup
    assert failure.message == "many"
    assert [(type(each), each.args) for each in failure.exceptions] == [
        (ValueError, (1,)),
        (KeyError, ("k",)),
    ]


def test_an_exception_group_whose_members_can_not_cross(interp: isthmus.Interpreter) -> None:
    failure = raised_by(
        interp,
        """
        class Own(Exception): pass
        raise ExceptionGroup('outer', [ValueError(1), ExceptionGroup('inner', [Own('own')])])
        """,
    )
    assert type(failure) is ExceptionGroup
    assert failure.message == "outer"
    first, inner = failure.exceptions
    assert (type(first), first.args) == (ValueError, (1,))
    assert isinstance(inner, ExceptionGroup)
    (own,) = inner.exceptions
    assert isinstance(own, isthmus.ExecutionFailed)
    assert (own.excinfo.type.__name__, own.excinfo.msg) == ("Own", "own")


@pytest.mark.parametrize("source", ["raise ValueError('x' * 200_000)", "raise ValueError(b'x' * 200_000)"])
def test_a_large_argument_arrives(interp: isthmus.Interpreter, source: str) -> None:
    failure = raised_by(interp, source)
    assert type(failure) is ValueError
    assert failure.args[0] == eval(source.removeprefix("raise ValueError(")[:-1])


@pytest.mark.parametrize("source", ["1/0", "raise SystemExit", "raise KeyboardInterrupt", "def ("])
def test_exec_always_raises_execution_failed(interp: isthmus.Interpreter, source: str) -> None:
    failure = failure_of(lambda: interp.exec(source))
    assert type(failure) is isthmus.ExecutionFailed
    info = failure.excinfo
    assert isinstance(info, isthmus.ExceptionInfo)
    assert info.type.__module__ == "builtins"
    assert info.formatted == (f"{info.type.__name__}: {info.msg}" if info.msg else info.type.__name__)
    assert info.errdisplay.splitlines()[-1].startswith(info.type.__name__)
    again = pickle.loads(pickle.dumps(failure))
    assert (type(again), again.excinfo) == (type(failure), info)


def test_excinfo_of_exec_in_detail(interp: isthmus.Interpreter) -> None:
    failure = failure_of(
        lambda: interp.exec("class Own(Exception):\n    class In(KeyError): pass\nraise Own.In('m')")
    )
    assert isinstance(failure, isthmus.ExecutionFailed)
    info = failure.excinfo
    assert (info.type.__name__, info.type.__qualname__, info.type.__module__) == ("In", "Own.In", "__main__")
    assert info.msg == "'m'"
    assert info.formatted == "Own.In: 'm'"
    assert info.errdisplay.startswith("Traceback (most recent call last):")
    assert info.errdisplay.endswith("Own.In: 'm'")


def test_nothing_runs_when_a_shared_value_can_not_cross(interp: isthmus.Interpreter) -> None:
    for value in (sys, sys.stdout, [sys.stdout], {"k": (1, sys.stdout)}):
        with pytest.raises(isthmus.NotShareableError) as caught:
            interp.run("ran = True", before=1, value=value)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, ValueError)
    interp.run("assert not {'ran', 'before', 'value'} & set(globals())")


class NotThere:
    """Known to this module only, which the other interpreter can't import under its name."""


def test_a_value_that_arrives_but_can_not_be_rebuilt_fails_the_run(
    interp: isthmus.Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotThere, "__module__", "module_of_nobody")
    monkeypatch.setitem(sys.modules, "module_of_nobody", sys.modules[__name__])
    failure = raised_by(interp, "ran = True", value=NotThere())
    assert type(failure) is ModuleNotFoundError
    interp.run("assert 'ran' not in globals()")


def test_errors_are_what_both_peps_say() -> None:
    assert issubclass(isthmus.InterpreterError, RuntimeError)
    assert issubclass(isthmus.InterpreterNotFoundError, isthmus.InterpreterError)
    assert issubclass(isthmus.ExecutionFailed, isthmus.InterpreterError)
    assert issubclass(isthmus.NotShareableError, TypeError)
    assert issubclass(isthmus.NotShareableError, ValueError)


def test_a_failure_frees_what_the_run_was_given(interp: isthmus.Interpreter) -> None:
    payload = b"x" * 1_000_000
    failure = raised_by(interp, "copy = payload\nraise ValueError(len(payload))", payload=payload)
    assert failure.args == (1_000_000,)
    interp.run("assert copy is payload\ndel copy, payload")

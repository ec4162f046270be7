"""What an exception of another interpreter becomes in the caller of `run`, `exec` and `prepare_main`."""

from __future__ import annotations

import pickle
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isthmus


@pytest.fixture(scope="module")
def interp() -> Iterator[isthmus.Interpreter]:
    """One for the whole file: a failed run leaves an interpreter as good as before."""
    with isthmus.create() as made:
        yield made


def failure_of(action: Callable[[], object]) -> BaseException:
    """What `action` raises."""
    try:
        action()
    except BaseException as failure:
        return failure
    pytest.fail("nothing was raised")


def raised_by(interp: isthmus.Interpreter, source: str, **shared: Any) -> BaseException:
    return failure_of(lambda: interp.run(textwrap.dedent(source), **shared))


def remote(failure: BaseException) -> isthmus.ExceptionInfo:
    assert isinstance(failure.__cause__, isthmus.ExecutionFailed)
    return failure.__cause__.excinfo


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
        ("x = 'a' * (1 << 62)", MemoryError),
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

"""Functions that the other side can not import cross by code, with what belongs to them."""

from __future__ import annotations

import functools
import math
import os.path
import sys
import textwrap
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import _functions_sample as sample
import isthmus
from conftest import LARGE, run_script

# What functions of this file refer to. They are no importable names where they arrive.
FACTOR = 3
TABLE = {"a": [1, 2]}
BLOB = b"x" * LARGE
LOCK = threading.Lock()


@pytest.fixture(autouse=True)
def clean_main() -> Iterator[None]:
    """A function that is sent to this interpreter leaves its globals in `__main__`."""
    main = vars(sys.modules["__main__"])
    before = dict(main)
    yield
    for name in set(main) - set(before):
        del main[name]


def local(source: str, name: str, **around: Any) -> Any:
    """A function as a script defines it: in `__main__`, with globals of its own."""
    namespace = {"__name__": "__main__", **around}
    exec(compile(textwrap.dedent(source), "<local>", "exec", dont_inherit=True), namespace)
    return namespace[name]


def test_code_runs_with_the_globals_of_main(call: Callable[..., Any], interp: isthmus.Interpreter) -> None:
    interp.run("mine = 5")
    assert call(lambda: (__name__, mine)) == ("__main__", 5)  # type: ignore[name-defined]  # noqa: F821

    def leave(value: int) -> None:
        global left
        left = value  # type: ignore[name-defined]

    call(leave, 4)
    interp.run("assert left == 4")
    assert "left" not in globals()


def test_globals_are_put_there_if_absent(call: Callable[..., Any], interp: isthmus.Interpreter) -> None:
    f = local("def f(): return FACTOR, TABLE", "f", FACTOR=3, TABLE=TABLE)
    assert call(f) == (3, {"a": [1, 2]})
    interp.run("assert FACTOR == 3\nFACTOR = 4\nTABLE['a'].append(3)")
    assert call(f) == (4, {"a": [1, 2, 3]})
    assert TABLE == {"a": [1, 2]}


def test_only_what_is_referred_to_is_taken(call: Callable[..., Any]) -> None:
    source = """
        def f(x):
            local = x.unused_attribute if x else KEPT
            def inner(): return [DEEP for _ in (1,)]
            class C:
                body = IN_BODY
                def method(self): return IN_METHOD
            return local, inner(), C.body, C().method()
    """
    unsendable = threading.Lock()
    f = local(
        source, "f", KEPT=1, DEEP=2, IN_BODY=3, IN_METHOD=4, x=unsendable, local=unsendable,
        inner=unsendable, C=unsendable, unused_attribute=unsendable, f_unused=unsendable,
    )  # fmt: skip
    assert call(f, None) == (1, [2], 3, 4)
    names = call(lambda: sorted(n for n in globals() if not n.startswith("__")))
    assert names == ["DEEP", "IN_BODY", "IN_METHOD", "KEPT"]


def test_a_name_that_a_class_body_binds_itself_need_not_cross(call: Callable[..., Any]) -> None:
    f = local("def f():\n class C:\n  x = 1\n  y = x\n return C.y", "f", x=threading.Lock())
    assert call(f) == 1
    f = local("def f():\n class C:\n  if 0: x = 1\n  y = x\n return C.y", "f", x=2)
    assert call(f) == 2


def test_a_long_function_is_read_exactly(call: Callable[..., Any]) -> None:
    # More than 256 names: the operands need prefixes.
    names = [f"name_{i}" for i in range(600)]
    around = {name: i for i, name in enumerate(names)}
    f = local(f"def f(): return {' + '.join(names)}", "f", **around)
    assert call(f) == sum(range(600))


def test_modules_that_a_function_refers_to_are_imported(call: Callable[..., Any]) -> None:
    assert call(lambda: math.floor(2.5)) == 2
    assert call(lambda: os.path.join("a", "b")) == "a/b"

    def closes_over_one() -> Callable[[], Any]:
        import json

        return lambda: json.dumps([1])

    assert call(closes_over_one()) == "[1]"


def test_the_main_module_is_the_one_over_there(call: Callable[..., Any], interp: isthmus.Interpreter) -> None:
    f = local("def f(): return main.mark", "f", main=sys.modules["__main__"])
    interp.run("mark = 'there'")
    assert call(f) == "there"


@pytest.mark.parametrize(
    ("f", "named"),
    [
        (lambda: LOCK, "the global 'LOCK' of <lambda>"),
        (lambda: [LOCK for _ in "a"], "the global 'LOCK' of <lambda>"),
        (lambda x=LOCK: x, "default 0 of <lambda>"),
        (lambda *, x=LOCK: x, "default of 'x' of <lambda>"),
        ([0, {"k": lambda: LOCK}], "[1]['k']<the global 'LOCK' of"),
        (functools.partial(lambda: LOCK), "cannot pickle '_thread.lock' object"),
    ],
)
def test_a_global_that_can_not_cross_is_named(call: Callable[..., Any], f: Any, named: str) -> None:
    with pytest.raises(isthmus.NotShareableError) as caught:
        isthmus.create_channel(None)[1].send(f)
    assert named in str(caught.value)
    assert not isthmus.is_shareable(f)
    with pytest.raises(isthmus.NotShareableError):
        call(len, f)


def test_what_a_closure_holds_is_named(call: Callable[..., Any]) -> None:
    held = [threading.Lock()]

    def outer() -> Callable[[], Any]:
        def inner() -> Any:
            return held

        return lambda: inner()

    with pytest.raises(isthmus.NotShareableError) as caught:
        call(outer())
    told = str(caught.value)
    assert told.startswith("callable<'inner' in the closure of ")
    assert "<'held' in the closure of " in told
    assert "[0]: _thread.lock can't be sent" in told


def test_a_module_that_can_not_be_imported_is_named(call: Callable[..., Any]) -> None:
    f = local("def f(): return made_up.x", "f", made_up=types.ModuleType("made_up"))
    with pytest.raises(isthmus.NotShareableError, match=r"global 'made_up' of f.*module 'made_up'"):
        call(f)


def test_a_name_that_is_nowhere_is_an_error_of_the_run(call: Callable[..., Any]) -> None:
    with pytest.raises(isthmus.ExecutionFailed, match="NameError: name 'nowhere'"):
        call(lambda: nowhere)  # type: ignore[name-defined]  # noqa: F821


def test_recursion_through_globals_and_closures(call: Callable[..., Any]) -> None:
    assert call(local("def fact(n): return 1 if n < 2 else n * fact(n - 1)", "fact"), 20) == math.factorial(
        20
    )
    even = local(
        """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        """,
        "even",
    )
    assert call(even, 10) is True

    def ping(n: int) -> int:
        return pong(n - 1) + 1 if n else 0

    def pong(n: int) -> int:
        return ping(n - 1) + 1 if n else 0

    assert call(ping, 9) == 9


def test_recursion_within_values(bounce: Callable[[Any], Any]) -> None:
    f: Any = local("def f(): return f, box", "f", box=[])
    f.__globals__["box"].append(f)
    got = bounce(f)
    again, box = got()
    assert again is got is box[0]
    first, second = bounce([f, f])
    assert first is second


def test_functions_go_on_sharing_a_variable(call: Callable[..., Any], bounce: Callable[[Any], Any]) -> None:
    def counter() -> tuple[Callable[[], int], Callable[[], int]]:
        n = 10

        def inc() -> int:
            nonlocal n
            n += 1
            return n

        return inc, lambda: n

    inc, get = counter()
    assert call(lambda a, b: (a(), a(), b()), inc, get) == (11, 12, 12)
    assert get() == 10
    there, seen = bounce((inc, get))
    there()
    assert (seen(), get()) == (11, 10)


def test_a_variable_that_is_not_bound_yet(bounce: Callable[[Any], Any]) -> None:
    def outer() -> Callable[[], Any]:
        if len(sys.argv) < 0:
            late = 1
        return lambda: late

    with pytest.raises(NameError, match="late"):
        bounce(outer())()


def test_a_bare_cell_is_refused() -> None:
    with pytest.raises(isthmus.NotShareableError, match="cell"):
        isthmus.create_channel(None)[1].send(types.CellType(1))


def test_everything_a_function_has_arrives(bounce: Callable[[Any], Any]) -> None:
    def f(a: int, b: str = "b", *args: Any, c: float = 1.5, **kwargs: Any) -> bool:
        """Said."""
        return bool(a and b and args and c and kwargs)

    f.extra = [1]  # type: ignore[attr-defined]
    got = bounce(f)
    assert got is not f
    assert (got.__name__, got.__qualname__, got.__module__) == (f.__name__, f.__qualname__, f.__module__)
    assert (got.__defaults__, got.__kwdefaults__) == (("b",), {"c": 1.5})
    assert got.__doc__ == "Said."
    assert got.__annotations__ == f.__annotations__
    assert got.extra == [1]
    assert got.__code__ == f.__code__
    assert got.__code__.co_filename == __file__
    assert got.__globals__ is vars(sys.modules["__main__"])
    assert got(1, "x", 2, d=3) is True


def test_an_annotation_that_can_not_cross_is_left_out(call: Callable[..., Any]) -> None:
    source = "class Mine: pass\ndef f(a: Mine, b: int, c: thing) -> list[int]: return a"
    f = local(source, "f", thing=threading.Lock())
    assert call(f, 1, 2, 3) == 1
    assert call(lambda g: sorted(g.__annotations__), f) == ["a", "b", "return"]


def test_type_parameters(call: Callable[..., Any], bounce: Callable[[Any], Any]) -> None:
    f = local("def f[T: int, *Ts, **P](a: T, b: list[T]) -> T: return a", "f")
    parameters, first, second = call(lambda g: (g.__type_params__, *g.__annotations__.values())[:3], f)
    assert [each.__name__ for each in parameters] == ["T", "Ts", "P"]
    assert first is parameters[0]
    assert second.__args__ == (parameters[0],)
    assert parameters[0].__bound__ is int
    assert [type(each) for each in bounce(f).__type_params__] == [type(each) for each in f.__type_params__]


def test_generators_coroutines_and_decorated_functions(call: Callable[..., Any]) -> None:
    def squares(n: int) -> Iterator[int]:
        for i in range(n):
            yield i * i

    async def answer() -> int:
        return 42

    def run(f: Callable[[], Any]) -> Any:
        try:
            f().send(None)
        except StopIteration as stop:
            return stop.value

    assert call(lambda f: list(f(4)), squares) == [0, 1, 4, 9]
    assert call(run, answer) == 42
    assert call(sample.twice(lambda n: n + 1), 1) == 3


def test_a_large_constant_and_a_large_global_arrive_without_a_copy(
    call: Callable[..., Any], interp: isthmus.Interpreter
) -> None:
    start = isthmus.stats().payload_bytes_copied
    assert call(lambda: len(BLOB)) == LARGE
    interp.run("import isthmus\nassert isthmus.describe(BLOB)['kind'] == 'twin'\ndel BLOB")
    assert isthmus.stats().payload_bytes_copied == start


def test_functions_travel_on(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    a, b = new_interp(), new_interp()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    s.send(local("def f(n): return n * FACTOR", "f", FACTOR=3))
    a.run("f = r.recv()\ns.send(f)", r=r, s=s)
    b.run("f = r.recv()\nassert f(2) == 6\ns.send(f)", r=r, s=back_s)
    assert back_r.recv()(5) == 15


def test_a_function_that_is_returned_runs_here(call: Callable[..., Any]) -> None:
    def make(n: int) -> Callable[[int], int]:
        return lambda m: n + m

    assert call(make, 3)(4) == 7


def test_a_traceback_shows_the_source(call: Callable[..., Any]) -> None:
    def fails() -> None:
        raise KeyError("shown")  # this very line

    with pytest.raises(isthmus.ExecutionFailed) as caught:
        call(fails)
    display = caught.value.excinfo.errdisplay
    assert f'File "{__file__}", line {fails.__code__.co_firstlineno + 1}, in fails' in display
    assert 'raise KeyError("shown")  # this very line' in display


def test_equal_code_of_two_files_keeps_its_file(bounce: Callable[[Any], Any]) -> None:
    files = []
    for file in ("one.py", "two.py"):
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile("def f(): return 1", file, "exec"), namespace)
        files.append(bounce(namespace["f"]).__code__.co_filename)
    assert files == ["one.py", "two.py"]


# ---- scripts


def test_a_script_is_never_run_again(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            print("script runs")
            import functools, isthmus
            STEP = 2
            def helper(n): return n + STEP
            def work(n):
                return [helper(i) for i in range(n)], __name__
            class Kept: pass
            if __name__ == "__main__":
                with isthmus.create() as interp:
                    print(interp.call(work, 3))
                    print(interp.call(functools.partial(work, 1)))
                    thread = interp.call_in_thread(print, "in a thread", flush=True)
                    thread.join()
                    print(type(interp.call(Kept)) is Kept)
            """
        ),
        encoding="ascii",
    )
    done = run_script(f"import runpy\nrunpy.run_path({str(script)!r}, run_name='__main__')")
    assert done.stdout.splitlines() == [
        "script runs",
        "([2, 3, 4], '__main__')",
        "([2], '__main__')",
        "in a thread",
        "True",
    ]


def test_the_remote_traceback_prints_as_in_the_standard_library(call: Callable[..., Any]) -> None:
    with pytest.raises(isthmus.ExecutionFailed) as caught:
        call(int, "x")
    text = "ValueError: invalid literal for int() with base 10: 'x'"
    assert str(caught.value) == f"{text}\n\nUncaught in the interpreter:\n\n{text}"
    assert traceback.format_exception_only(caught.value)[0].startswith("isthmus._errors.ExecutionFailed: ")

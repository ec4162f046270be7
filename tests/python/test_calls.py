"""Calling into interpreters, in threads too."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isthmus
from conftest import LARGE, PATIENCE, run_script, until

Create = Callable[..., isthmus.Interpreter]

LOCK = threading.Lock()  # can't be sent


@pytest.fixture
def uncaught(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """What went to threading.excepthook."""
    seen: list[BaseException] = []

    def hook(args: threading.ExceptHookArgs) -> None:
        assert args.exc_value is not None
        seen.append(args.exc_value)

    monkeypatch.setattr(threading, "excepthook", hook)
    yield seen
    seen.clear()


def current_id() -> int:
    return isthmus.get_current().id


# ---- call


def test_arguments_and_result_cross(interp: isthmus.Interpreter) -> None:
    def echo(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    shared = [1]
    values = (None, 2**100, 1.5, "é", b"x", (1, [2]), {"k": {3}}, shared, isthmus.get_main())
    (args, kwargs) = interp.call(echo, *values, key=shared, callable=1, self=2, f=3)
    assert args == values
    assert kwargs == {"key": [1], "callable": 1, "self": 2, "f": 3}
    assert args[7] is kwargs["key"]  # what was one object is one object
    assert args[7] is not shared
    assert interp.call(echo) == ((), {})
    assert interp.call(lambda: None) is None


def test_it_runs_there_on_this_thread(interp: isthmus.Interpreter) -> None:
    assert interp.call(current_id) == interp.id
    assert interp.call(threading.get_ident) == threading.get_ident()


def test_a_large_result_is_no_copy(interp: isthmus.Interpreter) -> None:
    start = isthmus.stats().payload_bytes_copied
    data = b"x" * LARGE
    assert interp.call(lambda x: x, data) is data
    made = interp.call(bytes, LARGE)
    assert isthmus.owner(made) is interp
    assert isthmus.stats().payload_bytes_copied == start


def test_channel_ends_as_arguments_and_result(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)

    def greet(end: isthmus.SendChannel) -> isthmus.SendChannel:
        end.send("hello")
        return end

    assert interp.call(greet, s) == s
    assert r.recv() == "hello"


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        ((LOCK,), {}, "args[0]: _thread.lock can't be sent"),
        ((1, [2, {"k": LOCK}]), {}, "args[1][1]['k']: _thread.lock can't be sent"),
        ((), {"key": (LOCK,)}, "kwargs['key'][0]: _thread.lock can't be sent"),
    ],
)
def test_nothing_runs_if_an_argument_can_not_cross(
    interp: isthmus.Interpreter, args: Any, kwargs: Any, path: str
) -> None:
    def mark(*args: object, **kwargs: object) -> None:
        global ran
        ran = True  # type: ignore[name-defined]

    with pytest.raises(isthmus.NotShareableError) as caught:
        interp.call(mark, *args, **kwargs)
    assert str(caught.value).startswith(path)
    interp.run("assert 'ran' not in globals()")


def test_a_result_that_can_not_cross_is_named(interp: isthmus.Interpreter) -> None:
    for f, path in (
        (lambda: sys.stdout, "result: _io.TextIOWrapper can't be sent"),
        (lambda: [1, sys.stdout], "result[1]: _io.TextIOWrapper can't be sent"),
        (lambda: {"k": (1, sys.stdout)}, "result['k'][1]: _io.TextIOWrapper can't be sent"),
    ):
        with pytest.raises(isthmus.NotShareableError) as caught:
            interp.call(f)
        assert str(caught.value).startswith(path)
    assert interp.call(len, "ab") == 2


def test_what_goes_wrong_while_a_result_is_taken_apart_is_an_exception_of_the_call(
    interp: isthmus.Interpreter,
) -> None:
    interp.run("class Odd:\n def __reduce__(self): 1/0\ndef f(): return Odd()")
    with pytest.raises(isthmus.ExecutionFailed, match="ZeroDivisionError"):
        interp.call(eval, "f()")


@pytest.mark.parametrize(
    ("f", "args", "name"),
    [
        (divmod, (1, 0), "ZeroDivisionError"),
        (sys.exit, (3,), "SystemExit"),
        (lambda: exec("raise KeyboardInterrupt"), (), "KeyboardInterrupt"),
        (lambda: exec("class Own(Exception): pass\nraise Own('x')"), (), "Own"),
        (lambda: recurse(), (), "RecursionError"),
        (lambda x: x, (), "TypeError"),
    ],
)
def test_every_exception_is_execution_failed(
    interp: isthmus.Interpreter, f: Any, args: Any, name: str
) -> None:
    with pytest.raises(isthmus.ExecutionFailed) as caught:
        interp.call(f, *args)
    assert type(caught.value) is isthmus.ExecutionFailed
    assert caught.value.excinfo.type.__name__ == name
    assert interp.call(len, "ab") == 2


def recurse() -> None:
    recurse()


def test_what_is_no_call(interp: isthmus.Interpreter) -> None:
    untyped: Any = interp
    for action in (
        untyped.call,
        lambda: untyped.call(5),
        lambda: untyped.call(callable=len),
        untyped.call_in_thread,
    ):
        with pytest.raises(TypeError):
            action()


def test_a_call_counts_as_running(interp: isthmus.Interpreter) -> None:
    started, go = isthmus.create_channel(None), isthmus.create_channel(None)

    def wait(s: isthmus.SendChannel, r: isthmus.RecvChannel) -> None:
        s.send(isthmus.get_current().is_running())
        r.recv()

    thread = interp.call_in_thread(wait, started[1], go[0])
    assert started[0].recv(PATIENCE) is True
    assert interp.is_running()
    for action in (
        lambda: interp.call(len, "a"),
        lambda: interp.exec(lambda: None),
        interp.reset_main,
        interp.close,
    ):
        with pytest.raises(isthmus.InterpreterError):
            action()
    go[1].send(None)
    thread.join(PATIENCE)
    assert not interp.is_running()


def test_the_current_and_a_closed_one_refuse(interp: isthmus.Interpreter) -> None:
    here = isthmus.get_current()
    actions: list[Callable[[isthmus.Interpreter], object]] = [
        lambda i: i.call(len, "a"), lambda i: i.exec("x = 1"), lambda i: i.run("x = 1"),
        lambda i: i.reset_main(),
    ]  # fmt: skip
    for action in actions:
        with pytest.raises(isthmus.InterpreterError, match="current"):
            action(here)

    def itself() -> str:
        try:
            isthmus.get_current().call(len, "a")
        except isthmus.InterpreterError as error:
            return str(error)
        return "no error"

    assert "current" in interp.call(itself)
    interp.close()
    more: list[Callable[[isthmus.Interpreter], object]] = [
        *actions, lambda i: i.call_in_thread(len, "a"), lambda i: i.run_in_thread("x = 1"),
    ]  # fmt: skip
    for action in more:
        with pytest.raises(isthmus.InterpreterNotFoundError):
            action(interp)


def test_calls_nest_through_interpreters(new_interp: Create) -> None:
    a, b = new_interp(), new_interp()

    def through(other: isthmus.Interpreter) -> tuple[int, int]:
        return current_id(), other.call(current_id)

    assert a.call(through, b) == (a.id, b.id)
    assert a.call(lambda main: main.is_running(), isthmus.get_main()) is True


def test_from_many_threads_to_many_interpreters(new_interp: Create) -> None:
    interps = [new_interp() for _ in range(4)]
    results: list[int] = []

    def work(interp: isthmus.Interpreter) -> None:
        for i in range(50):
            results.append(interp.call(lambda n: n * n, i))

    threads = [threading.Thread(target=work, args=(each,)) for each in interps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == sorted(4 * [i * i for i in range(50)])


def test_builtins_that_look_at_their_caller_see_main(interp: isthmus.Interpreter) -> None:
    interp.run("x = 5")
    assert interp.call(eval, "x + 1") == 6
    interp.call(exec, "y = x + 2")
    assert interp.call(eval, "(x, y)") == (5, 7)
    assert {"x", "y", "__name__"} <= set(interp.call(dir))
    assert interp.call(eval, "x", {"x": 1}) == 1


# ---- threads


def test_call_in_thread_returns_the_started_thread(
    interp: isthmus.Interpreter, uncaught: list[BaseException]
) -> None:
    r, s = isthmus.create_channel(None)
    thread = interp.call_in_thread(lambda s, n: s.send((current_id(), threading.get_ident(), n)), s, n=5)
    assert isinstance(thread, threading.Thread)
    assert not thread.daemon
    assert r.recv(PATIENCE) == (interp.id, thread.ident, 5)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert uncaught == []


def test_run_in_thread_sets_names_first(interp: isthmus.Interpreter, uncaught: list[BaseException]) -> None:
    r, s = isthmus.create_channel(None)
    interp.run_in_thread("s.send(n + 1)", s=s, n=1).join(PATIENCE)
    assert r.recv(PATIENCE) == 2
    assert uncaught == []


def test_arguments_are_taken_when_it_is_called(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    given = [1]
    gate, opener = isthmus.create_channel(None)

    def work(gate: isthmus.RecvChannel, s: isthmus.SendChannel, given: list[int]) -> None:
        gate.recv()
        s.send(given)

    thread = interp.call_in_thread(work, gate, s, given)
    given.append(2)
    opener.send(None)
    thread.join(PATIENCE)
    assert r.recv() == [1]


def test_what_can_not_cross_is_refused_at_once(interp: isthmus.Interpreter) -> None:
    before = threading.active_count()
    with pytest.raises(isthmus.NotShareableError, match=r"args\[0\]"):
        interp.call_in_thread(print, LOCK)
    with pytest.raises(isthmus.NotShareableError):
        interp.run_in_thread("pass", x=LOCK)
    with pytest.raises(TypeError):
        interp.run_in_thread(b"pass")  # type: ignore[arg-type]
    assert threading.active_count() == before


def test_an_exception_of_a_thread_goes_to_the_excepthook(
    interp: isthmus.Interpreter, uncaught: list[BaseException]
) -> None:
    interp.call_in_thread(divmod, 1, 0).join(PATIENCE)
    interp.run_in_thread("1/0").join(PATIENCE)
    interp.call_in_thread(sys.exit).join(PATIENCE)
    interp.call_in_thread(lambda: sys.stdout).join(PATIENCE)
    kinds = [type(each) for each in uncaught]
    assert kinds == [
        isthmus.ExecutionFailed, ZeroDivisionError, isthmus.ExecutionFailed, isthmus.NotShareableError,
    ]  # fmt: skip


def test_the_interpreter_stays_open_while_the_thread_runs() -> None:
    started, go = isthmus.create_channel(None), isthmus.create_channel(None)
    interp = isthmus.create()
    number = interp.id

    def wait(s: isthmus.SendChannel, r: isthmus.RecvChannel) -> None:
        s.send(1)
        r.recv()

    thread = interp.call_in_thread(wait, started[1], go[0])
    gone = weakref.ref(interp)
    del interp
    started[0].recv(PATIENCE)
    assert gone() is not None
    assert number in [each.id for each in isthmus.list_all()]
    go[1].send(None)
    thread.join(PATIENCE)
    del thread
    assert number not in [each.id for each in isthmus.list_all()]


def test_a_thread_that_can_not_be_started_leaves_nothing(
    interp: isthmus.Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    start = isthmus.stats().shares_outstanding
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            interp.call_in_thread(len, b"x" * LARGE)
    gc.collect()
    assert until(lambda: isthmus.stats().shares_outstanding == start)
    interp.run("x = 1")


def test_a_thread_under_way_at_exit_is_waited_for() -> None:
    done = run_script(
        """
        import isthmus, threading
        interp = isthmus.create()
        r, s = isthmus.create_channel(None)
        thread = interp.call_in_thread(lambda: (r.recv(), print("finished", flush=True)))
        threading.Thread(target=lambda: (threading.main_thread().join(), s.send(1))).start()
        print("end", flush=True)
        """
    )
    assert done.stdout.split() == ["end", "finished"]

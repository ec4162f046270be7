"""Running in interpreters, looking at them, ending them, each `operator new` failing once: see failing.py."""

from __future__ import annotations

import _interpreters
import contextlib
import gc
import json
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from common import PATIENCE, command
from failing import OLD, by_code, trial, undisturbed

import isthmus

sys.path.insert(0, __file__.rpartition("/scripts/")[0])
import _graph_types as t


def script() -> None:
    assert len([1, 2]) == 2


def jobs(other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    other.run("import isthmus")

    def call() -> None:
        assert other.call(by_code, 1, second=[1, 2][1]) == 3

    def call_that_raises() -> None:
        try:
            other.call(int, "x" * 1000)
        except isthmus.ExecutionFailed as error:
            if error.excinfo.type.__name__ != "ValueError":
                raise

    def run() -> None:
        other.run("assert x == [1, [2]] and y == 'y' * 100_000; del x, y", x=[1, [2]], y="y" * 100_000)

    def run_that_raises() -> None:
        with contextlib.suppress(ValueError):
            other.run("raise ValueError('x' * 100)")

    def execute() -> None:
        other.exec("x = [1]")
        other.exec(script)

    def prepare() -> None:
        other.prepare_main({"x": [t.Plain(1), t.Pair(1, "y")], "y": b"z" * 100_000})
        other.reset_main()

    def in_thread() -> None:
        other.run_in_thread("x = 1").join()
        other.call_in_thread(by_code, 1).join()

    def other_way() -> None:
        r, s = isthmus.create_channel(None)
        source = "import _graph_types as t; s.send([b'o' * 100_000, memoryview(bytearray(9)), t.Plain(1)])"
        other.run(f"try: {source}\nfinally: del s", s=s)
        assert len(r.recv()) == 3

    yield from (call, call_that_raises, run, run_that_raises, execute, prepare, in_thread, other_way)


def posts(other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    other.run("import isthmus")

    def post() -> None:
        assert other.post(by_code, 1, 2).result(PATIENCE) == 3

    def post_that_raises() -> None:
        failure = other.post(int, "x" * 100).exception(PATIENCE)
        assert isinstance(failure, (isthmus.ExecutionFailed, MemoryError, isthmus.InterpreterError)), failure

    def cancelled() -> None:
        before = other.post(by_code, 1)
        call = other.post(by_code, 1, b"p" * 100_000)
        call.cancel()
        assert before.wait(PATIENCE)
        assert call.wait(PATIENCE)

    yield from (post, post_that_raises, cancelled)


def looking(other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    kept = [isthmus.create_channel(None) for _ in range(10)], [isthmus.create_queue() for _ in range(10)]

    def snapshot() -> None:
        assert len(isthmus.inspection.snapshot().interpreters) == len(isthmus.list_all())

    def memory() -> None:
        isthmus.stats()
        value = [b"b" * 100_000, OLD]
        for each in value:
            isthmus.describe(each)
            isthmus.owner(each)
            assert isthmus.is_shareable([each, {}])
        assert isthmus.share([1, value]) == [1, value]
        assert isthmus.same_memory(value[0], value[0])

    def interpreters() -> None:
        assert isthmus.Interpreter(other.id) is other
        assert other in isthmus.list_all()
        assert not other.closed.is_set()
        assert other.closed.fileno() >= 0

    yield from (snapshot, memory, interpreters)
    assert kept


def serving(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    def serve() -> None:
        path = isthmus.inspection.serve()
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(path)
                client.sendall(b"snapshot 1\n")
                told = b""
                while not told.endswith(b"\n"):
                    more = client.recv(65536)
                    if not more:
                        return  # it had no memory for the answer
                    told += more
            json.loads(told)
        finally:
            isthmus.inspection.stop()

    yield serve


def lives(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    def create_and_close() -> None:
        made = isthmus.create(name="n" * 100)
        made.run("import isthmus; x = b'x' * 100_000")
        made.close()
        assert made.closed.is_set()

    def create_and_drop() -> None:
        isthmus.create()
        gc.collect()

    yield from (create_and_close, create_and_drop)


WITH_THREAD = """
import isthmus, threading
r, s = isthmus.create_channel()
def wait():
    try: r.recv()
    except (EOFError, isthmus.InterpreterError): pass
threading.Thread(target=wait).start()
"""


def ends(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    """Of interpreters in which a thread runs: those need memory. One that is not closed is as it was.

    Where nobody can be told, the next handle that ends tries again: those of `state` do.
    """
    made: list[isthmus.Interpreter] = []

    def prepared(**options: Any) -> isthmus.Interpreter:
        with undisturbed():
            made[:] = [isthmus.create(**options)]
            made[0].run(WITH_THREAD)
        return made.pop()

    def close(**options: Any) -> None:
        victim = prepared(**options)
        try:
            victim.close()
        except MemoryError:
            victim.run("assert threading.active_count() == 2")
            victim.close()
            raise
        assert victim.closed.is_set()

    def close_legacy() -> None:
        close(gil="shared")

    def drop() -> None:
        victim = prepared()
        del victim
        gc.collect()

    def drop_in_flight() -> None:
        victim = prepared()
        r, s = isthmus.create_channel(1)
        s.send(victim)
        del victim
        gc.collect()
        r.close()

    yield from (close, close_legacy, drop, drop_in_flight)


def others(_other: isthmus.Interpreter) -> Iterator[Callable[[], None]]:
    """Interpreters that the standard library makes and ends."""

    def attach() -> None:
        with undisturbed():
            number = _interpreters.create()
        try:
            found = isthmus.Interpreter(number)
            found.run("x = 1")
            assert found.call(by_code, 1) == 8
        finally:
            with undisturbed():
                _interpreters.destroy(number)
        assert found.closed.wait(PATIENCE)

    yield attach


GROUPS = {posts: True, serving: True, jobs: False, looking: False, lives: False, ends: False, others: False}

command({each.__name__: lambda each=each: trial(each, threads=GROUPS[each]) for each in GROUPS})

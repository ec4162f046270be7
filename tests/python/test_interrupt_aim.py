"""`Interpreter.interrupt` reaches the run it was meant for and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _subprocess import run_script
from conftest import PATIENCE


def test_it_does_not_reach_the_encoding_of_the_result(interp: isthmus.Interpreter) -> None:
    """`__reduce__` asks for an interruption of the very run that it is encoded for."""
    source = """
import isthmus
class Result:
    def __reduce__(self):
        here = isthmus.get_current()
        asked = [here.interrupt(MemoryError) for _ in range(3)]
        for _ in range(10_000):
            pass
        return list, (asked,)
"""
    interp.run(source)

    def result() -> Any:
        return Result()  # type: ignore[name-defined]  # noqa: F821

    assert interp.call(result) == [False, False, False]


def test_it_does_not_reach_the_description_of_a_failure(interp: isthmus.Interpreter) -> None:
    with pytest.raises(isthmus.ExecutionFailed) as caught:
        interp.exec(
            """
import isthmus
class Failure(Exception):
    def __str__(self):
        asked = isthmus.get_current().interrupt(MemoryError)
        for _ in range(10_000):
            pass
        return f"asked: {asked}"
raise Failure
"""
        )
    assert caught.value.excinfo.type.__name__ == "Failure"
    assert caught.value.excinfo.msg == "asked: False"


CLASSES = [ValueError, KeyError, OSError, IndexError, RuntimeError, KeyboardInterrupt, EOFError, ImportError]


@pytest.mark.parametrize(
    "source", ["for _ in range(n): pass", "r.recv(timeout=0.001)", "x = [f'{i}' for i in range(n)]"]
)
def test_storms_hit_the_run_they_were_aimed_at(source: str, interp: isthmus.Interpreter) -> None:
    """Each run is aimed at with a class of its own by four threads that see which one it is."""
    r, s = isthmus.create_channel()
    aim = threading.Lock()
    current: list[type[BaseException] | None] = [None]
    over = threading.Event()
    asked = 0

    def storm() -> None:
        nonlocal asked
        while not over.is_set():
            with aim:
                if current[0] is not None and interp.interrupt(current[0]):
                    asked += 1
            time.sleep(0)

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for thread in threads:
        thread.start()
    outcomes = {"normal": 0, "hit": 0}
    interp.prepare_main(r=r)
    try:
        for i in range(1000):
            expected = CLASSES[i % len(CLASSES)]
            with aim:
                current[0] = expected
            try:
                # Now and then one lasts until the other threads get the GIL.
                interp.run(source, n=300_000 if i % 20 == 0 else i % 100 * 20)
            except TimeoutError:
                outcomes["normal"] += 1
            except (Exception, KeyboardInterrupt) as error:
                if type(error) is not expected:  # another run's
                    raise
                outcomes["hit"] += 1
            else:
                outcomes["normal"] += 1
            with aim:
                current[0] = None
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert outcomes["hit"] > 0
    assert outcomes["normal"] + outcomes["hit"] == 1000
    assert asked >= outcomes["hit"]
    interp.run("for _ in range(100_000): pass")
    r.close(), s.close()


def test_interrupting_while_it_is_closed(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    for _ in range(10):
        interp = new_interp()
        over = threading.Event()
        found: list[BaseException] = []

        def storm(
            interp: isthmus.Interpreter = interp,
            over: threading.Event = over,
            found: list[BaseException] = found,
        ) -> None:
            while not over.is_set():
                try:
                    interp.interrupt()
                except isthmus.InterpreterNotFoundError:
                    return
                except BaseException as error:
                    found.append(error)

        threads = [threading.Thread(target=storm) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            with contextlib.suppress(KeyboardInterrupt):
                interp.run("for _ in range(1000): pass")
        interp.close()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        over.set()
        assert not found


# ---- the process


def test_the_process_has_one_thread_again() -> None:
    assert "one thread" in run_script("interrupting", "threads").stdout


def test_a_forked_child_has_threads_of_its_own() -> None:
    assert "children went on" in run_script("interrupting", "fork").stdout


def test_at_exit_a_run_that_was_interrupted_before_is_stopped_too() -> None:
    run_script("interrupting", "exit")

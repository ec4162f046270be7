"""What every test shares: the check that nothing is left behind, interpreters, threads, scripts."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import isthmus
from _accounts import PATIENCE, gauges, unsettled, until

LARGE = 100_000  # bytes: well above the 64 KiB from which payloads are shared

# From the first line on, so that placement does not change in the middle of the first test that needs it.
isthmus.enable()


def settle(start: dict[str, object], patience: float = 5.0) -> dict[str, object]:
    """What differs from `start` in the end; empty when all is well.

    An idle owner is entered by its helper only after a grace of 5 ms, so releases may still be under way
    when the last object of a test is gone.
    """
    gc.collect()
    until(lambda: gauges() == start and not unsettled(), patience)
    now = gauges()
    return {name: (start[name], now[name]) for name in start if start[name] != now[name]} | unsettled()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what pytest and its plugins are made of: two full collections a test need not visit it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.user_properties.append(("failed", True))
    return report


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wrap every test: all gauges return to their starting values, counters balance."""
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)  # pytest leaves the last failure there, and it everything that test held
    gc.collect()
    # What a test before this one has just dropped must not count as this one's start.
    until(lambda: not unsettled(), 5.0)
    start = gauges()
    yield
    if ("failed", True) in request.node.user_properties:
        return  # its traceback keeps its objects
    left = settle(start)
    assert not left, f"left behind (before, after): {left}"


@pytest.fixture
def new_interp() -> Iterator[Callable[..., isthmus.Interpreter]]:
    """Make interpreters that are closed after the test."""
    made: list[isthmus.Interpreter] = []

    def create(**options: Any) -> isthmus.Interpreter:
        made.append(isthmus.create(**options))
        return made[-1]

    yield create
    for each in made:
        each.close()
    made.clear()


@pytest.fixture
def interp(new_interp: Callable[..., isthmus.Interpreter]) -> isthmus.Interpreter:
    return new_interp()


@pytest.fixture
def bounce() -> Callable[[Any], Any]:
    """Send a value to this very interpreter: it arrives as in any other one."""
    r, s = isthmus.create_channel(None)

    def back(value: Any) -> Any:
        s.send(value)
        return r.recv()

    return back


@pytest.fixture
def call(interp: isthmus.Interpreter) -> Callable[..., Any]:
    return interp.call


@pytest.fixture
def ends() -> Iterator[tuple[isthmus.RecvChannel, isthmus.SendChannel]]:
    """An unbounded channel."""
    pair = isthmus.create_channel(None)
    yield pair
    for end in pair:
        end.close()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of this test's alone in which processes that let themselves be inspected meet."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("ISTHMUS_INSPECTION", raising=False)
    return tmp_path


class Running:
    """A thread that runs `source` in an interpreter; an exception of it is raised by `join`."""

    def __init__(self, interp: isthmus.Interpreter, source: str, shared: dict[str, Any]) -> None:
        self.failure: BaseException | None = None
        self._joined = False
        # A daemon: what a failed test left waiting must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, args=(interp, textwrap.dedent(source), shared), daemon=True
        )
        self._thread.start()

    def _run(self, interp: isthmus.Interpreter, source: str, shared: dict[str, Any]) -> None:
        try:
            interp.run(source, **shared)
        except BaseException as failure:
            self.failure = failure

    def join(self, patience: float = PATIENCE) -> None:
        self._joined = True
        self._thread.join(patience)
        assert not self._thread.is_alive(), "the interpreter still runs"
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def finish(self) -> None:
        if not self._joined:
            self.join()

    def until_asleep(self) -> None:
        """Wait until the thread sleeps in the kernel. Call it when all that it has left to do is to wait."""
        path = Path(f"/proc/self/task/{self._thread.native_id}/stat")
        assert until(lambda: path.read_text().rpartition(")")[2].split()[0] == "S")


@pytest.fixture
def spawn(new_interp: Callable[..., isthmus.Interpreter]) -> Iterator[Callable[..., Running]]:
    """Run source in an interpreter on a thread of its own; joined before the interpreters are closed."""
    threads: list[Running] = []

    def start(interp: isthmus.Interpreter, source: str, **shared: Any) -> Running:
        threads.append(Running(interp, source, shared))
        return threads[-1]

    yield start
    for each in threads:
        each.finish()
    threads.clear()


def run_script(
    source: str, *arguments: str, timeout: float = 60, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own and assert that it ended well."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=os.environ | (env or {}),
    )
    report = f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, report
    assert "Fatal" not in done.stderr, report
    assert "Traceback" not in done.stderr, report
    return done


#: Known to fail on newer Pythons, causes unknown yet: an open defect of isthmus or of the test.
_OPEN_SINCE_3_14 = (
    "test_an_interpreter_that_the_run_waits_for_finishes",
    "test_faulthandler",
    "test_interpreters_of_the_standard_library",
    "test_exit_with_posted_calls[of_others]",
    "test_no_memory_can_be_had[DATA]",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if sys.version_info >= (3, 14) and item.name in _OPEN_SINCE_3_14:
            item.add_marker(pytest.mark.skip(reason="fails on 3.15: an open defect"))
